//! `Dial`: how it ends, what the caller's phone hears, and the causes that channels end with.

use std::collections::BTreeMap;

use fed_ari::client::{AriEvent, EventStream};
use fed_core::route::Cause;

use super::{
    handset::{Does, Heard, refusal},
    subject::subjects,
};
use crate::common::{connected, next_event};

#[tokio::test]
async fn a_dial_ends_with_what_the_phone_did() {
    for s in subjects("conf-dial").await {
        let caller = s.phone("diala").await;
        let callee = s.phone("dialb").await;
        for (does, ended, heard) in [
            (Does::Refuse(486), "BUSY 17", refusal(17, 486)),
            (Does::Refuse(600), "BUSY 17", refusal(17, 486)),
            (Does::Refuse(480), "NOANSWER 19", refusal(19, 480)),
            (Does::Refuse(603), "CHANUNAVAIL 21", refusal(21, 403)),
            (Does::Refuse(403), "CHANUNAVAIL 21", refusal(21, 403)),
            (Does::Refuse(404), "CHANUNAVAIL 1", refusal(1, 404)),
            (Does::Refuse(408), "CHANUNAVAIL 18", refusal(18, 408)),
            (Does::Refuse(488), "CHANUNAVAIL 58", refusal(58, 488)),
            (Does::Refuse(500), "CHANUNAVAIL 38", refusal(38, 500)),
            (Does::Refuse(400), "CHANUNAVAIL 127", refusal(127, 500)),
            (Does::Refuse(410), "CHANUNAVAIL 22", refusal(22, 410)),
            (Does::Refuse(484), "CHANUNAVAIL 28", refusal(28, 484)),
            (Does::Refuse(502), "CHANUNAVAIL 27", refusal(27, 502)),
            (Does::Refuse(503), "CONGESTION 34", refusal(34, 503)),
            (Does::Refuse(504), "CHANUNAVAIL 102", refusal(102, 603)),
            (Does::Ring, "NOANSWER 0", refusal(16, 603)),
        ] {
            callee.does(does);
            let mut call = s.call(&caller, "1dialb").await;
            let went = (call.heard().await, s.ended().await);
            assert_eq!(went, (heard, ended.to_owned()), "{}: {does:?}", s.name);
        }
        s.remove("diala").await;
        s.remove("dialb").await;
    }
}

#[tokio::test]
async fn after_an_answered_call_the_dialplan_goes_on_only_where_it_asked_to() {
    for s in subjects("conf-answer").await {
        let caller = s.phone("ansa").await;
        let callee = s.phone("ansb").await;
        callee.does(Does::AnswerAndHangUp);
        let mut call = s.call(&caller, "2ansb").await;
        assert_eq!(call.heard().await, Heard::Answer, "{}", s.name);
        call.over().await;
        assert_eq!(s.ended().await, "ANSWER 16", "{}", s.name);
        let mut call = s.call(&caller, "1ansb").await;
        assert_eq!(call.heard().await, Heard::Answer, "{}", s.name);
        call.over().await;
        s.quiet(&["ansa", "ansb"]).await;
        let ended = s.client.get_global("CONF_ENDED").await.expect("reads");
        assert_eq!(ended, "", "{}: it went on", s.name);
        assert_eq!(callee.calls(), 2, "{}", s.name);
        s.remove("ansa").await;
        s.remove("ansb").await;
    }
}

#[tokio::test]
async fn either_side_hangs_up_and_a_caller_gives_up() {
    for s in subjects("conf-hangup").await {
        let caller = s.phone("hanga").await;
        let callee = s.phone("hangb").await;
        callee.does(Does::Answer);
        let mut call = s.call(&caller, "1hangb").await;
        assert_eq!(call.heard().await, Heard::Answer, "{}", s.name);
        call.hang_up().await;
        s.quiet(&["hanga", "hangb"]).await;
        callee.does(Does::Ring);
        let mut call = s.call(&caller, "1hangb").await;
        assert!(call.rings().await, "{}", s.name);
        call.hang_up().await;
        s.quiet(&["hanga", "hangb"]).await;
        s.remove("hanga").await;
        s.remove("hangb").await;
    }
}

#[tokio::test]
async fn the_first_phone_that_answers_takes_the_call_from_the_others() {
    for s in subjects("conf-fork").await {
        let caller = s.phone("forka").await;
        let slow = s.phone("forkb").await;
        let quick = s.phone("forkbtoo").await;
        slow.does(Does::Ring);
        quick.does(Does::AnswerAndHangUp);
        let mut call = s.call(&caller, "5forkb").await;
        assert_eq!(call.heard().await, Heard::Answer, "{}", s.name);
        call.over().await;
        s.quiet(&["forka", "forkb", "forkbtoo"]).await;
        assert_eq!((slow.calls(), quick.calls()), (1, 1), "{}", s.name);
        // Refused by one and busy at the other: busy.
        slow.does(Does::Refuse(603));
        quick.does(Does::Refuse(486));
        let mut call = s.call(&caller, "5forkb").await;
        assert!(matches!(call.heard().await, Heard::Refusal { .. }), "{}", s.name);
        assert!(s.ended().await.starts_with("BUSY"), "{}", s.name);
        for device in ["forka", "forkb", "forkbtoo"] {
            s.remove(device).await;
        }
    }
}

/// What the router says of a call that it refuses is what the caller hears.
#[tokio::test]
async fn a_cause_of_the_router_becomes_the_status_that_it_names() {
    for s in subjects("conf-causes").await {
        let caller = s.phone("cause").await;
        for cause in [
            Cause::UnknownUser,
            Cause::Offline,
            Cause::Busy,
            Cause::DoNotDisturb,
            Cause::NoAnswer,
            Cause::Loop,
            Cause::TooManyHops,
            Cause::Unavailable,
        ] {
            let mut call = s.call(&caller, &format!("0{}", cause.q850())).await;
            let expected = refusal(cause.q850().into(), cause.sip_status());
            assert_eq!(call.heard().await, expected, "{}: {cause}", s.name);
        }
        s.remove("cause").await;
    }
}

#[tokio::test]
async fn an_unknown_endpoint_or_extension_is_not_found() {
    for s in subjects("conf-unknown").await {
        let caller = s.phone("unka").await;
        let mut call = s.call(&caller, "1nobody").await;
        let heard = call.heard().await;
        assert_eq!(
            (heard, s.ended().await.as_str()),
            (refusal(3, 404), "CHANUNAVAIL 3"),
            "{}",
            s.name
        );
        let mut call = s.call(&caller, "9").await;
        assert!(
            matches!(call.heard().await, Heard::Refusal { status: 404, .. }),
            "{}",
            s.name
        );
        s.remove("unka").await;
        let mut call = s.call(&caller, "1nobody").await;
        assert!(
            matches!(call.heard().await, Heard::Refusal { status: 401, .. }),
            "{}: a stranger",
            s.name
        );
    }
}

/// The causes of that many channels that end, by device.
async fn causes(events: &mut EventStream, number: usize) -> BTreeMap<String, u16> {
    let mut ended = BTreeMap::new();
    while ended.len() < number {
        if let AriEvent::ChannelDestroyed { channel, cause } = next_event(events).await {
            let name = channel.name.trim_start_matches("PJSIP/");
            let device = name.rsplit_once('-').map_or(name, |(device, _)| device);
            ended.insert(device.to_owned(), cause);
        }
    }
    ended
}

#[tokio::test]
async fn both_channels_of_a_call_end_with_its_cause() {
    for s in subjects("conf-destroyed").await {
        let caller = s.phone("desta").await;
        let callee = s.phone("destb").await;
        let mut events = s.client.events(&["endpoint:PJSIP"]);
        connected(&mut events).await;
        for (does, expected) in [
            (Does::Refuse(486), 17),
            (Does::Refuse(603), 21),
            (Does::Refuse(480), 19),
            (Does::AnswerAndHangUp, 16),
        ] {
            callee.does(does);
            let mut call = s.call(&caller, "1destb").await;
            call.heard().await;
            let ended = causes(&mut events, 2).await;
            let expected = BTreeMap::from([("desta".to_owned(), expected), ("destb".to_owned(), expected)]);
            assert_eq!(ended, expected, "{}: {does:?}", s.name);
        }
        s.remove("desta").await;
        s.remove("destb").await;
    }
}
