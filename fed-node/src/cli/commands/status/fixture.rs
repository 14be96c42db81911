//! A federation of three for tests of what is said about one.

use fed_proto::client as pb;

/// Node 1 of three, in these states, with a quorum; n2 has led for 4 h.
pub(crate) fn reply(states: [&str; 3]) -> pb::StatusReply {
    pb::StatusReply {
        node: 1,
        node_name: "n1".to_owned(),
        quorum: true,
        leader: 2,
        leader_since: Some(pb::Since {
            ago_ms: 4 * 3_600_000,
            at_least: false,
        }),
        members: (1..).zip(states).map(|(id, state)| member(id, state)).collect(),
        ..pb::StatusReply::default()
    }
}

/// A voter in this state.
pub(crate) fn member(id: u64, state: &str) -> pb::Member {
    pb::Member {
        id,
        name: format!("n{id}"),
        role: "voter".to_owned(),
        up: state == "up",
        heard: matches!(state, "up" | "asterisk_down" | "starting"),
        state: state.to_owned(),
        lag: -1,
        since: Some(pb::Since::default()),
        ..pb::Member::default()
    }
}
