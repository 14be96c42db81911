//! The stanzas for files as they are found. That real Asterisks take them is shown by the lab.

use fed_ari::{
    sim::SimVersion,
    stanzas::{ConfigFile, FILES, StanzaError, StanzaOptions, http_warning, install, stanzas},
};

use crate::site::options;

fn given() -> StanzaOptions {
    options(SimVersion::V22, "127.0.0.1:4573".into())
}

/// The block for one file, which holds this text, while all others are empty.
fn block(file: &'static str, text: &str) -> Result<String, StanzaError> {
    let read = |name: &'static str| ConfigFile::parse(if name == file { text } else { "" }, |_| Vec::new());
    let all = stanzas(&given(), read)?;
    assert_eq!(all.iter().map(|stanza| stanza.file).collect::<Vec<_>>(), FILES);
    Ok(all
        .into_iter()
        .find(|stanza| stanza.file == file)
        .expect("one of the files")
        .text)
}

#[test]
fn a_section_that_is_there_is_added_to_and_one_that_is_not_is_made() {
    assert!(
        block("http.conf", "")
            .expect("extends")
            .starts_with("[general]\nenabled=yes\n")
    );
    let added = block("http.conf", "[general]\nenabled=no\n").expect("extends");
    assert!(added.starts_with("[general](+)\nenabled=yes\n"), "{added}");
}

#[test]
fn asterisk_is_asked_to_tell_of_refreshes_where_its_administrator_has_not_decided() {
    const TELLS: &str = "send_contact_status_on_update_registration=yes\n";
    for (found, expected) in [
        ("", format!("[global]\ntype=global\n{TELLS}")),
        ("[global]\ntype=global\nuser_agent=x\n", format!("[global](+)\n{TELLS}")),
        ("[mine]\ntype=global\n", format!("[mine](+)\n{TELLS}")),
        (
            "[global]\ntype=global\nsend_contact_status_on_update_registration=no\n",
            String::new(),
        ),
        ("[one]\ntype=global\n[two]\ntype=global\n", String::new()),
        // Asterisk takes it for the global object all the same.
        ("[global]\nuser_agent=x\n", format!("[global](+)\n{TELLS}")),
        ("[main]\ntype=transport\n[main]\ntype=global\n", String::new()),
        ("[global]\ntype=endpoint\n", String::new()),
        ("#exec /usr/bin/more\n", String::new()),
        // A section of that name which is something else.
        (
            "[alice]\ntype=endpoint\n[alice]\ntype=aor\n",
            format!("[global]\ntype=global\n{TELLS}"),
        ),
    ] {
        assert_eq!(block("pjsip.conf", found).expect("extends"), expected, "{found}");
    }
    let unable = StanzaOptions {
        refresh_events: false,
        ..given()
    };
    let all = stanzas(&unable, |_| ConfigFile::default()).expect("extends");
    let pjsip = all
        .iter()
        .find(|stanza| stanza.file == "pjsip.conf")
        .expect("one of the files");
    assert_eq!(pjsip.text, "", "an Asterisk that does not know the option");
}

#[test]
fn a_server_that_was_off_is_turned_on_at_the_address_that_is_asked_and_nowhere_else() {
    let added = block("http.conf", "[general]\nenabled=no\nbindaddr=0.0.0.0\nbindport=8090\n").expect("extends");
    let http = given().http;
    let (ip, port) = (http.ip(), http.port());
    assert_eq!(
        added,
        format!("[general](+)\nenabled=yes\nbindaddr={ip}\nbindport={port}\n\n")
    );
}

#[test]
fn a_server_that_is_on_elsewhere_or_everywhere_is_told_of() {
    let warning = |text: &str| http_warning(&given(), &ConfigFile::parse(text, |_| Vec::new()));
    let port = given().http.port();
    assert_eq!(
        warning("[general]\nenabled=no\nbindaddr=0.0.0.0\n"),
        None,
        "it will be turned on as it should be"
    );
    assert_eq!(warning("[general]\nenabled=yes\n"), None);
    let elsewhere = warning("[general]\nenabled=yes\nbindaddr=10.0.0.1\nbindport=8000\n").expect("a warning");
    assert!(
        elsewhere.ends_with("set bindaddr=127.0.0.1 there, and set asterisk.url to http://127.0.0.1:8000"),
        "{elsewhere}"
    );
    let everywhere =
        warning(&format!("[general]\nenabled=yes\nbindaddr=0.0.0.0\nbindport={port}\n")).expect("a warning");
    assert!(
        everywhere.contains("every interface") && everywhere.contains("bindaddr=127.0.0.1"),
        "{everywhere}"
    );
}

#[test]
fn a_server_under_a_prefix_that_is_not_asked_for_is_told_of() {
    let file = ConfigFile::parse("[general]\nenabled=yes\nprefix=asterisk\n", |_| Vec::new());
    let told = http_warning(&given(), &file).expect("a warning");
    assert!(
        told.ends_with(&format!("set asterisk.url to http://{}/asterisk", given().http)),
        "{told}"
    );
    let asked = StanzaOptions {
        http_prefix: "asterisk/".into(),
        ..given()
    };
    assert_eq!(http_warning(&asked, &file), None);
}

#[test]
fn templates_say_nothing_by_themselves() {
    let template = "[general](!)\nenabled=yes\nbindaddr=127.0.0.1\nbindport=8088\n";
    let added = block("http.conf", template).expect("extends");
    assert!(added.starts_with("[general]\nenabled=yes\n"), "{added}");
    let mapped = "[res_pjsip](!)\nendpoint=memory\n";
    let added = block("sorcery.conf", mapped).expect("extends");
    assert!(
        added.contains("[res_pjsip]\n") && added.contains("endpoint=memory"),
        "{added}"
    );
}

#[test]
fn what_the_administrator_chose_stays() {
    let text = "[general]\nenabled = yes ; always\nbindaddr=10.0.0.1\nbindport=8000\n";
    assert_eq!(block("http.conf", text), Ok(String::new()));
}

#[test]
fn mappings_that_are_there_are_completed() {
    let text = "[res_pjsip]\nendpoint=config,pjsip.conf,criteria=type=endpoint\nauth=memory\n";
    let added = block("sorcery.conf", text).expect("extends");
    assert_eq!(added.matches("[res_pjsip](+)").count(), 1);
    assert_eq!(added.matches("endpoint=config").count(), 0);
    assert!(
        added.contains("endpoint=memory") && !added.contains("auth=memory"),
        "{added}"
    );
    assert!(
        added.contains("[res_pjsip_endpoint_identifier_ip]\nidentify=config"),
        "{added}"
    );
}

#[test]
fn a_mapping_to_a_database_is_refused_by_name() {
    let refused = block("sorcery.conf", "[res_pjsip]\naor=realtime,ps_aors\n");
    assert!(
        matches!(&refused, Err(StanzaError::MappedElsewhere { object: "aor", .. })),
        "{refused:?}"
    );
}

#[test]
fn a_database_after_memory_takes_nothing_and_is_left_alone() {
    let text = "[res_pjsip]\naor=config,pjsip.conf,criteria=type=aor\naor=memory\naor=realtime,ps_aors\n";
    let added = block("sorcery.conf", text).expect("extends");
    assert!(!added.contains("aor="), "{added}");
}

#[test]
fn a_file_that_ends_inside_a_comment_is_refused() {
    let open = "[general]\n;-- all off\n";
    assert!(matches!(
        block("extensions.conf", open),
        Err(StanzaError::OpenComment {
            file: "extensions.conf"
        })
    ));
    assert!(block("extensions.conf", &format!("{open}--;\n")).is_ok());
}

#[test]
fn sections_of_others_are_not_taken_over_but_our_own_block_is() {
    assert!(matches!(
        block("extensions.conf", "[fed-users]\n"),
        Err(StanzaError::SectionTaken { .. })
    ));
    assert!(matches!(
        block("ari.conf", "[fed]\ntype=user\n"),
        Err(StanzaError::SectionTaken { .. })
    ));
    let once = block("extensions.conf", "[general]\n").expect("extends");
    let file = install("[general]\n", &once).expect("installs");
    assert_eq!(block("extensions.conf", &file), Ok(once), "asked again, the same");
}

#[test]
fn a_section_in_an_included_file_counts() {
    let text = "[general]\n#include \"ari_users.conf\" ; mine\n;--\n#include other.conf\n--;\nenabled=no\n";
    let file = ConfigFile::parse(text, |name| {
        assert_eq!(name, "ari_users.conf", "a comment includes nothing");
        vec!["x=1\n[fed]\nenabled=yes\n".to_owned()]
    });
    assert!(file.has_section("fed"));
    assert_eq!(
        file.option("general", "x").as_deref(),
        Some("1"),
        "it counts where the line stands"
    );
    assert_eq!(file.option("general", "enabled").as_deref(), Some("no"));
}

#[test]
fn a_file_that_includes_itself_is_read_to_an_end() {
    let text = "[a]\n#include <x>\n#include <x>\n#include <x>\n#include <x>\n#include <x>\n";
    assert!(ConfigFile::parse(text, |_| vec![text.to_owned(); 10]).has_section("a"));
}

#[test]
fn a_template_is_no_object_and_what_it_says_is_inherited() {
    let text = "[base](!)\ntype=transport\nprotocol=udp\n[lan](base)\nprotocol=tcp\n[lan](+)\nbind=0.0.0.0\n[lan]\ntype=endpoint\n";
    let file = ConfigFile::parse(text, |_| Vec::new());
    let said: Vec<_> = file
        .objects()
        .map(|object| ["type", "protocol", "bind"].map(move |name| object.option(name)))
        .collect();
    assert_eq!(
        said,
        [
            [Some("transport"), Some("tcp"), Some("0.0.0.0")],
            [Some("endpoint"), None, None]
        ]
    );
}

#[test]
fn comments_are_no_sections() {
    let file = ConfigFile::parse("; [general]\n;--\n[general]\n--;\n[other]\nx=1 ; y=2\n", |_| Vec::new());
    assert!(!file.has_section("general"));
    assert_eq!(file.option("other", "x").as_deref(), Some("1"));
}

#[test]
fn a_password_that_could_change_the_file_is_refused_and_not_shown() {
    let options = StanzaOptions {
        ari_password: "x\n[root]".into(),
        ..given()
    };
    let refused = stanzas(&options, |_| ConfigFile::default()).expect_err("refused");
    assert!(
        refused.to_string().contains("password") && !refused.to_string().contains("root"),
        "{refused}"
    );
}

#[test]
fn each_version_is_asked_to_ask_its_own_way() {
    for (version, words) in [
        (SimVersion::V16, "AGI(agi://127.0.0.1:4573/${EXTEN},"),
        (SimVersion::V22, "Stasis(fed,${EXTEN},"),
    ] {
        let all = stanzas(&options(version, "127.0.0.1:4573".into()), |_| ConfigFile::default()).expect("stanzas");
        assert!(all.iter().any(|stanza| stanza.text.contains(words)), "{version:?}");
        assert!(
            all.iter().all(|stanza| !stanza.text.contains('@')),
            "nothing is left to fill in"
        );
    }
}
