//! Those who hold the places of the FastAGI server without a word keep no call out.

use std::sync::Arc;

use fed_ari::router::{FastAgi, Router};
use fed_core::ids::NodeId;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::site::{PATIENCE, map_with, until};

const PLACES: usize = 8;

/// Asks as Asterisk does and gives the first line it is told.
async fn asks(stream: &mut TcpStream) -> String {
    let question =
        "agi_network_script: route\nagi_channel: PJSIP/alice-00000001\nagi_callerid: 1001\nagi_arg_1: 1002\n\n";
    stream.write_all(question.as_bytes()).await.expect("sent");
    let (mut line, mut reader) = (String::new(), BufReader::new(stream));
    timeout(PATIENCE, reader.read_line(&mut line))
        .await
        .expect("in time")
        .expect("an answer");
    line
}

#[tokio::test]
async fn silent_connections_give_way_to_a_call() {
    let map = map_with(&["alice", "bob"]);
    let router = Arc::new(Router::new(Arc::new(map.port(NodeId(1)))));
    let server = FastAgi::bind("127.0.0.1:0").await.expect("a port").with_places(PLACES);
    let (address, stats) = (server.local_addr().expect("an address"), server.stats());
    let running = tokio::spawn(server.run(router));
    let mut silent = Vec::new();
    for _ in 0..PLACES {
        silent.push(TcpStream::connect(address).await.expect("connected"));
    }
    // One that drips is as silent as the others: it has not asked either.
    silent[0].write_all(b"agi_network: yes\n").await.expect("sent");
    let mut call = TcpStream::connect(address).await.expect("connected");
    assert!(asks(&mut call).await.contains(" VARIABLE "));
    assert_eq!(stats.gave_way(), 1, "the call did not wait for the end of anybody");
    assert_eq!(
        silent[0].read(&mut [0]).await.unwrap_or_default(),
        0,
        "the oldest is closed"
    );
    // More of them take no place from the call, which Asterisk has not answered yet.
    for _ in 0..2 * PLACES {
        silent.push(TcpStream::connect(address).await.expect("connected"));
    }
    until("they have come in", || stats.gave_way() > 2 * PLACES as u64).await;
    let unread = timeout(std::time::Duration::ZERO, call.read_u8()).await;
    assert!(unread.is_err(), "the call is still talked to: {unread:?}");
    running.abort();
}
