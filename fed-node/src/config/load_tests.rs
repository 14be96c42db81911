use std::os::unix::fs::PermissionsExt;

use super::*;

fn from_text(text: &str) -> Result<Config, String> {
    from_file(text, 0o640)
}

fn from_file(text: &str, mode: u32) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fed-node.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let prefix = format!("{}:", path.display());
    load_with(Some(&path), [], &ConfigFlags::default()).map_err(|errors| errors.to_string().replace(&prefix, "FILE:"))
}

#[test]
fn a_word_that_is_no_level_is_no_filter() {
    let level = |level: &str| from_text(&format!("[log]\nlevel = \"{level}\"\n"));
    for bad in ["nfo", "foo bar", "infoo=debug,xx yy", "info,fed_ari"] {
        let error = level(bad).unwrap_err();
        assert!(
            error.contains("log.level") && error.contains("FILE:2"),
            "{bad}: {error}"
        );
    }
    for good in ["info", "INFO", "info,fed_ari=debug,fed_raft::log=trace", "off"] {
        level(good).unwrap();
    }
}

#[test]
fn an_empty_file_is_the_documented_defaults() {
    let config = from_text("").unwrap();
    assert_eq!(config.client.listen.to_string(), "127.0.0.1:7400");
    assert_eq!(config.redirect.listen.to_string(), "127.0.0.1:5070");
    assert_eq!(config.sip_advertised().port(), 5060);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
    assert_eq!(
        from_text("data_dir = \"/x\"\n\n[peer]\nlisten = \"[::]:1\"\nadvertize = \"a:1\"\n").unwrap_err(),
        "FILE:5: there is no key \"peer.advertize\"; did you mean \"peer.advertise\"?"
    );
    assert_eq!(
        from_text("[asterix]\nurl = \"http://a\"\n").unwrap_err(),
        "FILE:1: there is no key \"asterix\"; did you mean \"asterisk\"?"
    );
    assert_eq!(
        from_text("[client]\nbudget_ms = 3\n").unwrap_err(),
        "FILE:2: there is no key \"client.budget_ms\"; did you mean \"redirect.budget_ms\"?"
    );
}

#[test]
fn every_bad_value_is_reported_at_once_with_its_line() {
    let errors =
        from_text("[peer]\nlisten = \"nowhere\"\n[log]\nformat = \"xml\"\n[raft]\nheartbeat_ms = -1\n").unwrap_err();
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 3, "{errors}");
    assert!(
        errors.contains("FILE:2: peer.listen \"nowhere\" is no address: the port is missing"),
        "{errors}"
    );
    assert!(
        errors.contains("FILE:4: log.format must be \"text\" or \"json\""),
        "{errors}"
    );
    assert!(
        errors.contains("FILE:6: raft.heartbeat_ms must be a whole number from 10 to 10000"),
        "{errors}"
    );
}

#[test]
fn broken_toml_names_the_line() {
    let error = from_text("[peer]\nlisten = \"a:1\n").unwrap_err();
    assert!(error.starts_with("FILE:2: "), "{error}");
}

#[test]
fn a_table_where_a_value_belongs_is_refused() {
    let error = from_text("[node]\nname = [1]\n").unwrap_err();
    assert_eq!(error, "FILE:2: node.name must be a text, a number, true or false");
}

#[test]
fn flag_beats_environment_beats_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, "[node]\nname = \"file\"\nzone = \"file\"\nweight = 1\n").unwrap();
    let env = [("FED_NODE_NAME", "env"), ("FED_NODE_ZONE", "env")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let flags = ConfigFlags::from_pairs([("node.name", "flag")]);
    let config = load_with(Some(&path), env, &flags).unwrap();
    assert_eq!(
        (
            config.node.name.as_str(),
            config.node.zone.as_deref(),
            config.node.weight
        ),
        ("flag", Some("env"), 1)
    );
}

#[test]
fn a_misspelt_variable_is_an_error_and_a_foreign_one_is_not() {
    let load = |name: &str| load_with(None, [(name.to_owned(), "x".to_owned())], &ConfigFlags::default());
    let error = load("FED_PEER_LISTN").unwrap_err().to_string();
    assert!(error.contains("did you mean \"FED_PEER_LISTEN\""), "{error}");
    load("FED_LAB_CACHE").unwrap();
    load("FED_SERVER").unwrap();
}

#[test]
fn contradictions_name_both_keys_with_the_place_of_each() {
    let error =
        from_text("[raft]\nelection_min_ms = 2000\nelection_max_ms = 1500\n[agi]\nlisten = \"127.0.0.1:7400\"\n")
            .unwrap_err();
    assert_eq!(
        error.lines().collect::<Vec<_>>(),
        [
            "FILE:2 and FILE:3: raft.election_min_ms (2000) must be less than raft.election_max_ms (1500)",
            "default of client.listen and FILE:5: client.listen (127.0.0.1:7400) and agi.listen (127.0.0.1:7400) are the same port: change one",
        ]
    );
    for (text, expected) in [
        (
            "[asterisk]\npassword = \"a\"\npassword_file = \"/b\"\n",
            "FILE:2 and FILE:3: asterisk.password and",
        ),
        (
            "[backup]\nevery = \"1h\"\n",
            "FILE:2: backup.every is set, but no backup.key_file",
        ),
        (
            "[tls]\nca = \"/ca\"\ncert = \"/cert\"\n",
            "FILE:2 and FILE:3: tls.ca is set and tls.key is not",
        ),
        (
            "[agi]\nlisten = \"127.0.0.1:7499\"\n[metrics]\nlisten = \"127.0.0.1:7499\"\n",
            "FILE:2 and FILE:4: agi.listen (127.0.0.1:7499) and metrics.listen (127.0.0.1:7499) are the same port",
        ),
        (
            "[security]\nplaintext = true\n",
            "FILE:2 and default of peer.listen: security.plaintext asks nobody",
        ),
    ] {
        let error = from_text(text).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn contradictions_name_the_variable_and_the_flag_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(
        &path,
        "[raft]\nelection_min_ms = 2000\n[client]\nlisten = \"127.0.0.1:7411\"\n",
    )
    .unwrap();
    let environment = [("FED_RAFT_ELECTION_MAX_MS".to_owned(), "1500".to_owned())];
    let flags = ConfigFlags::from_pairs([("agi.listen", "127.0.0.1:7411")]);
    let error = load_with(Some(&path), environment, &flags).unwrap_err().to_string();
    let place = path.display();
    for expected in [
        format!("{place}:2 and environment variable FED_RAFT_ELECTION_MAX_MS: raft.election_min_ms (2000)"),
        format!("{place}:4 and flag --agi-listen: client.listen (127.0.0.1:7411)"),
    ] {
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn the_ari_user_has_the_name_of_a_section_of_its_own() {
    for name in ["general", "General", "fed]", "a;b"] {
        let error = from_text(&format!("[asterisk]\nusername = \"{name}\"\n")).unwrap_err();
        assert!(error.contains("must be the name of an ARI user"), "{error}");
    }
    assert_eq!(
        from_text("[asterisk]\nusername = \"me@office\"\n")
            .unwrap()
            .asterisk
            .username,
        "me@office"
    );
}

#[test]
fn a_wildcard_is_not_advertised() {
    let error = from_text("[peer]\nadvertise = \"0.0.0.0:7401\"\n").unwrap_err();
    assert!(error.contains("no address others could use"), "{error}");
}

#[test]
fn a_password_is_not_printed_with_the_configuration() {
    let config = from_text("[asterisk]\npassword = \"canary\"\n").unwrap();
    assert_eq!(config.asterisk.password.reveal(), "canary");
    assert!(!format!("{config:?}").contains("canary"));
}

#[test]
fn a_configuration_file_with_a_password_is_not_for_everybody() {
    let text = "[asterisk]\npassword = \"canary\"\n";
    for mode in [0o644, 0o604, 0o642] {
        let error = from_file(text, mode).unwrap_err();
        assert!(
            error.contains("FILE:2") && error.contains("chmod o-rwx") && error.contains("asterisk.password_file"),
            "{error}"
        );
        assert!(!error.contains("canary"), "{error}");
    }
    from_file(text, 0o640).unwrap();
    // Without a secret it may be read by everybody, and one from elsewhere is not in it.
    from_file("[asterisk]\nusername = \"fed\"\n", 0o644).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fed-node.toml");
    std::fs::write(&path, "[log]\nlevel = \"info\"\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let flags = ConfigFlags::from_pairs([("asterisk.password", "canary")]);
    load_with(Some(&path), [], &flags).unwrap();
}

#[test]
fn an_address_of_asterisk_that_nobody_can_have_is_refused() {
    for url in [
        "http://bad host:8088",
        "http://a:99999",
        "http://:8088",
        "http://",
        "https://a",
    ] {
        let error = from_text(&format!("[asterisk]\nurl = \"{url}\"\n")).unwrap_err();
        assert!(error.contains("asterisk.url"), "{url}: {error}");
    }
    for url in [
        "http://localhost",
        "http://[::1]",
        "http://[::1]:8088",
        "http://127.0.0.1:8088/prefix",
    ] {
        from_text(&format!("[asterisk]\nurl = \"{url}\"\n")).unwrap();
    }
}

#[test]
fn the_password_of_asterisk_goes_to_this_machine_alone() {
    for url in [
        "http://192.0.2.1:8088",
        "http://pbx1.example.org:8088",
        "http://0.0.0.0:8088",
        "http://[2001:db8::1]:8088",
        "http://127.0.0.1.example.org",
        "http://127.0.0.1@192.0.2.1:8088",
        "http://127.0.0.1:8088@192.0.2.1",
        "http://pbx1?host=127.0.0.1",
    ] {
        let error = from_text(&format!("[asterisk]\nurl = \"{url}\"\n")).unwrap_err();
        assert!(
            error.contains("asterisk.url") && error.contains("FILE:2"),
            "{url}: {error}"
        );
    }
    let error = from_text("[asterisk]\nurl = \"http://192.0.2.1:8088\"\n").unwrap_err();
    assert!(
        error.contains("plain text") && error.contains("http://127.0.0.1:8088"),
        "{error}"
    );
}

#[test]
fn plaintext_is_for_loopback_alone() {
    let home = "[security]\nplaintext = true\n[peer]\nlisten = \"127.0.0.1:7401\"\n";
    assert!(from_text(home).unwrap().security.plaintext);
    for (listener, text) in [
        ("peer.listen", "[security]\nplaintext = true\n".to_owned()),
        ("client.listen", format!("{home}[client]\nlisten = \"0.0.0.0:7400\"\n")),
        (
            "metrics.listen",
            format!("{home}[metrics]\nlisten = \"192.0.2.1:7402\"\n"),
        ),
    ] {
        let error = from_text(&text).unwrap_err();
        assert!(
            error.contains(listener) && error.contains("security.plaintext"),
            "{error}"
        );
    }
    assert!(!from_text("").unwrap().security.plaintext);
}

#[test]
fn fastagi_is_for_loopback_alone() {
    let error = from_text("[agi]\nlisten = \"0.0.0.0:4573\"\n").unwrap_err();
    assert!(error.contains("agi.listen") && error.contains("plain text"), "{error}");
    from_text("[agi]\nlisten = \"[::1]:4573\"\n").unwrap();
}

#[test]
fn who_may_ask_the_redirect_server_is_named_by_addresses_and_networks() {
    let config = from_text("[redirect]\nallow = \"192.0.2.40, 2001:db8::/64\"\n").unwrap();
    assert_eq!(config.redirect.allow.len(), 2);
    for wrong in ["192.0.2.0/33", "pbx.example.com", "192.0.2.1,", "192.0.2.1 192.0.2.2"] {
        let error = from_text(&format!("[redirect]\nallow = \"{wrong}\"\n")).unwrap_err();
        assert!(
            error.contains("redirect.allow") && error.contains("is no address and no network"),
            "{error}"
        );
    }
}

#[test]
fn ipv4_networks_in_the_way_in_which_ipv6_writes_them_are_those_networks() {
    let allowed =
        |text: &str| from_text(&format!("[redirect]\nallow = \"{text}\"\n")).map(|config| config.redirect.allow);
    for (written, meant) in [
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.77/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.40", "192.0.2.40/32"),
        ("::ffff:192.0.2.40/128", "192.0.2.40/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("2001:db8::7/64", "2001:db8::/64"),
        ("::/0", "::/0"),
    ] {
        assert_eq!(allowed(written).unwrap(), [meant.parse().unwrap()], "{written}");
    }
    for unclear in ["::ffff:10.0.0.0/95", "::/8"] {
        let error = allowed(unclear).unwrap_err();
        assert!(
            error.contains("redirect.allow") && error.contains("name the IPv4 networks themselves"),
            "{error}"
        );
    }
}

#[test]
fn who_lets_everybody_ask_or_nobody_is_told() {
    let warned = |listen: &str, allow: &str| {
        let text = format!("[redirect]\nlisten = \"{listen}:5070\"\nallow = \"{allow}\"\n");
        from_text(&text).unwrap().redirect.warnings().join("\n")
    };
    for (allow, told) in [
        ("", "nobody elsewhere is answered"),
        ("192.0.2.40, 0.0.0.0/0", "0.0.0.0/0, every IPv4 address"),
        ("::/0", "::/0, every IPv6 address"),
        ("::ffff:0:0/96", "0.0.0.0/0, every IPv4 address"),
    ] {
        let warning = warned("0.0.0.0", allow);
        assert!(warning.contains(told), "{allow}: {warning}");
        assert_eq!(warned("127.0.0.1", allow), "", "{allow}");
    }
    assert_eq!(warned("0.0.0.0", "192.0.2.0/24,2001:db8::/64"), "");
}
