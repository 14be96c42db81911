//! The stanzas for files as they are found. That real Asterisks take them is shown by the lab.

use fed_ari::{
    sim::SimVersion,
    stanzas::{ConfigFile, FILES, StanzaError, StanzaOptions, install, stanzas},
};

use crate::site::options;

fn given() -> StanzaOptions {
    options(SimVersion::V22, "127.0.0.1:4573".into())
}

/// The block for one file, which holds this text, while all others are empty.
fn block(file: &'static str, text: &str) -> Result<String, StanzaError> {
    let read = |name: &'static str| ConfigFile::parse(if name == file { text } else { "" }, &[]);
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
    let text = "#include \"ari_users.conf\"\n";
    assert_eq!(ConfigFile::includes(text), ["ari_users.conf"]);
    let file = ConfigFile::parse(text, &["[general]\nenabled=yes\n".to_owned()]);
    assert!(file.has_section("general"));
}

#[test]
fn comments_are_no_sections() {
    let file = ConfigFile::parse("; [general]\n;--\n[general]\n--;\n[other]\nx=1 ; y=2\n", &[]);
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
        (SimVersion::V16, "AGI(agi://127.0.0.1:4573/route,"),
        (SimVersion::V22, "Stasis(fed,route,"),
    ] {
        let all = stanzas(&options(version, "127.0.0.1:4573".into()), |_| ConfigFile::default()).expect("stanzas");
        assert!(all.iter().any(|stanza| stanza.text.contains(words)), "{version:?}");
        assert!(
            all.iter().all(|stanza| !stanza.text.contains('@')),
            "nothing is left to fill in"
        );
    }
}
