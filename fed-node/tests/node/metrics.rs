//! Metrics as Prometheus finds them, on real processes.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::support::{Federation, Node, until};

pub(crate) fn scrape(node: &Node) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, node.metrics)).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// The names that fed-raft and fed-node document.
fn documented() -> BTreeSet<&'static str> {
    let designs = [
        include_str!("../../../fed-raft/DESIGN.md"),
        include_str!("../../DESIGN.md"),
    ];
    let names = designs.iter().flat_map(|design| {
        let (_, section) = design.split_once("\n## Metrics\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
        section.split('`').skip(1).step_by(2)
    });
    names
        .filter_map(|text| text.split('{').next())
        .filter(|name| name.starts_with("fed_"))
        .collect()
}

/// The names of the samples that a page has; a histogram's are its buckets and the like.
fn served(page: &str) -> BTreeSet<&str> {
    let samples = page
        .lines()
        .filter(|line| line.starts_with("fed_node_") || line.starts_with("fed_client_"));
    samples.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

#[test]
fn every_documented_name_is_found_by_a_scrape_of_a_running_federation() {
    let federation = Federation::start(3);
    federation.nodes[0].add_user("alice", "1001").ok();
    let mut missing = documented();
    assert!(missing.len() > 30, "{missing:?}");
    until("all names are served", || {
        for node in &federation.nodes {
            let page = scrape(node);
            assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
            assert!(page.contains("content-type: application/openmetrics-text"), "{page}");
            assert!(page.trim_end().ends_with("# EOF"), "{page}");
            // Samples, not only their descriptions.
            missing.retain(|name| !page.lines().any(|line| line.starts_with(name)));
            let served = served(&page);
            assert!(served.is_subset(&documented()), "not documented: {served:?}");
        }
        missing.is_empty().then_some(())
    });
}

#[test]
fn a_port_for_metrics_that_is_taken_keeps_no_node_from_serving() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let federation = Federation::start_with(1, |_, node| node.metrics = port);
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    let log = node.log();
    assert!(
        log.contains("metrics are not served") && log.contains("metrics.listen"),
        "{log}"
    );
}
