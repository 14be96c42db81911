use super::super::export::{rows, write};
use super::*;

fn checked(text: &str, realm: &str) -> Result<Roster, Vec<LineError>> {
    let (roster, errors) = check(text, realm);
    if errors.is_empty() { Ok(roster) } else { Err(errors) }
}

fn errors(text: &str) -> Vec<String> {
    checked(text, "federated")
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_line_is_a_user_and_a_device() {
    let roster = checked(
        "user,name,numbers,device,password\nalice,Alice,1001 1002,alice,secret\nbob,,,,\n",
        "federated",
    )
    .unwrap();
    assert_eq!(roster.users.len(), 2);
    assert_eq!(roster.users[0].numbers, ["1001", "1002"]);
    assert_eq!(roster.devices.len(), 1);
    assert_eq!(
        roster.devices[0].md5_ha1,
        ha1("alice", "federated", &Secret::new("secret"))
    );
}

#[test]
fn further_devices_stand_on_further_lines() {
    let text = "user,name,device,password\nalice,Alice,alice,a\nalice,,alice-mobile,b\nalice,Alice,alice-home,c\n";
    let roster = checked(text, "federated").unwrap();
    assert_eq!((roster.users.len(), roster.devices.len()), (1, 3));
}

#[test]
fn everything_wrong_is_told_at_once_with_its_line() {
    let text = "user,name,numbers,device,password,ring\n\
                alice,Alice,1001,alice,a,\n\
                b&b,,,,,\n\
                bob,,1001,alice,b,\n\
                carol,,,carol,,\n\
                dave,,,dave,d,loud\n\
                alice,Alicia,1001,alice2,a,\n";
    let errors = errors(text);
    let lines: Vec<&str> = errors.iter().map(|error| error.split(':').next().unwrap()).collect();
    assert_eq!(
        lines,
        ["line 3", "line 4", "line 4", "line 4", "line 5", "line 6", "line 7"],
        "{errors:#?}"
    );
    assert!(
        errors[1].contains("1001 leads to user bob here and to user alice on line 2"),
        "{errors:#?}"
    );
    assert!(
        errors[2].contains("device alice is there already, on line 2"),
        "{errors:#?}"
    );
    assert!(errors[4].contains("no password and no md5_ha1"), "{errors:#?}");
}

#[test]
fn no_error_shows_a_password() {
    let text = "user,device,password,md5_ha1\nalice,alice,canary,0\nal;ice,alice,canary,\nbob,bob,canary\n";
    assert!(errors(text).iter().all(|error| !error.contains("canary")));
}

#[test]
fn a_wrong_column_is_named_with_the_right_one() {
    assert_eq!(
        errors("user,devise\nalice,alice\n"),
        ["line 1: there is no column \"devise\"; did you mean \"device\"?"]
    );
    assert!(errors("name\nAlice\n")[0].contains("needs a column \"user\""));
    assert!(errors("")[0].contains("needs a column \"user\""));
}

#[test]
fn a_short_line_is_refused_and_later_lines_keep_their_numbers() {
    let errors = errors("user,device,password\nalice,alice,a\nbob,bob\n# a comment\n\ncarol,carol,\n");
    assert_eq!(errors[0], "line 3: 2 columns, the header has 3");
    assert!(
        errors[1].starts_with("line 6: device \"carol\" has no password"),
        "{errors:?}"
    );
}

#[test]
fn a_digest_for_another_realm_is_refused() {
    let text = format!("user,device,realm,md5_ha1\nalice,alice,elsewhere,{}\n", "0".repeat(32));
    assert!(errors(&text)[0].contains("made for realm \"elsewhere\""));
}

#[test]
fn what_is_exported_imports_to_the_same() {
    let text = "user,name,numbers,device,password,codecs,max_contacts,do_not_disturb,forward_busy,preferred_nodes\n\
                alice,\"Alice, A.\",1001,alice,a,alaw ulaw,3,yes,1002,1 2\n\
                alice,,,alice-mobile,b,,,,,\n\
                bob,,,,,,,,,\n";
    let roster = checked(text, "federated").unwrap();
    let exported = write(&rows(&roster.users, &roster.devices)).unwrap();
    assert!(!exported.contains("password"));
    let again = checked(&exported, "federated").unwrap();
    assert_eq!((&again.users, &again.devices), (&roster.users, &roster.devices));
    assert_eq!(write(&rows(&again.users, &again.devices)).unwrap(), exported);
}

#[test]
fn a_user_who_prefers_a_node_that_is_not_there_is_told_with_the_line() {
    let roster = checked("user,preferred_nodes\nalice,1 2\nbob,7\n", "federated").unwrap();
    let found = roster.without_nodes(&[1, 2].into());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].line == 3 && found[0].why.contains("no node 7"), "{found:?}");
}

#[test]
fn a_column_like_none_is_answered_with_all_of_them() {
    assert!(errors("usr,name\na,b\n")[0].contains("did you mean \"user\"?"));
    assert!(errors("user,telephone_exchange\na,b\n")[0].contains("the columns are user,name,"));
}

#[test]
fn a_value_over_the_end_of_a_line_is_an_error_and_swallows_nobody() {
    let found = errors("user,device,password\nb1,b1,\"unterminated\nb2,b2,pw\n");
    assert!(found[0].contains("close its quote"), "{found:?}");
}

#[test]
fn blanks_of_a_password_count_and_others_do_not() {
    let with = checked("user,device,password\n sp1 , sp1 ,\" pw \"\n", "federated").unwrap();
    let same = checked("user,device,password\nsp1,sp1,\" pw \"\n", "federated").unwrap();
    let without = checked("user,device,password\nsp1,sp1,pw\n", "federated").unwrap();
    assert_eq!(with.devices, same.devices);
    assert_ne!(with.devices, without.devices);
}

#[test]
fn a_line_that_begins_with_a_number_sign_is_a_comment_only_where_users_come_first() {
    let roster = checked("numbers,user,device,password\n#77,anna,anna,pw\n", "federated").unwrap();
    assert_eq!(roster.users[0].numbers, ["#77"]);
    let roster = checked("user,numbers\n# nobody,1\nanna,#77\n", "federated").unwrap();
    assert_eq!(roster.users.len(), 1);
}

#[test]
fn columns_separated_by_something_else_are_told_so() {
    assert!(errors("user;password\na;b\n")[0].contains("with commas"));
}
