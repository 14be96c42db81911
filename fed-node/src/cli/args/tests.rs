use super::*;
use clap::CommandFactory;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_password_is_no_argument() {
    let error = Cli::try_parse_from(["fed-node", "user", "add", "alice", "--password", "canary"]).unwrap_err();
    assert!(error.to_string().contains("--password"), "{error}");
}

#[test]
fn configuration_keys_are_flags() {
    let cli = Cli::try_parse_from(["fed-node", "run", "--peer-listen", "[::1]:1", "--log-format=json"]).unwrap();
    let Command::Run(run) = cli.command else { panic!("run") };
    let given: Vec<_> = run.flags.values().map(|(key, value)| (key.name, value)).collect();
    assert_eq!(given, [("peer.listen", "[::1]:1"), ("log.format", "json")]);
}

#[test]
fn global_flags_may_stand_anywhere() {
    let cli = Cli::try_parse_from(["fed-node", "user", "list", "-o", "json", "--server", "localhost:1"]).unwrap();
    assert_eq!(
        (cli.output, cli.access.server.unwrap().address.port()),
        (Output::Json, 1)
    );
}
