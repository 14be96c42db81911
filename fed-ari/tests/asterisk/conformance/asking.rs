//! Calls that ask before they are dialled: through Stasis and through FastAGI.

use std::time::{Duration, Instant};

use fed_ari::client::{AriEvent, Channel, EventStream, HangupReason};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    time::timeout,
};

use super::{
    handset::{Does, Heard, refusal},
    subject::{Subject, subjects},
};
use crate::common::{PATIENCE, connected, next_event};

async fn start(events: &mut EventStream) -> (Channel, Vec<String>) {
    loop {
        if let AriEvent::StasisStart { channel, args } = next_event(events).await {
            return (channel, args);
        }
    }
}

/// Sets where a call dialled with `3` asks.
async fn ask_in(s: &Subject, app: &str) {
    s.client.set_global("CONF_APP", app).await.expect("sets");
}

#[tokio::test]
async fn a_call_goes_through_stasis_and_on() {
    for s in subjects("conf-stasis").await {
        let caller = s.phone("stasa").await;
        let callee = s.phone("stasb").await;
        ask_in(&s, "conf-stasis").await;
        let mut events = s.client.events(&[]);
        connected(&mut events).await;
        for (does, ended, heard) in [
            (Does::AnswerAndHangUp, "", Heard::Answer),
            (Does::Refuse(486), "BUSY 17", refusal(17, 486)),
            (Does::Refuse(603), "CHANUNAVAIL 21", refusal(21, 403)),
            (Does::Ring, "NOANSWER 0", refusal(16, 603)),
        ] {
            callee.does(does);
            let mut call = s.call(&caller, "3stasb").await;
            let (channel, args) = start(&mut events).await;
            assert_eq!(args, ["route", "stasb"], "{}", s.name);
            assert!(
                channel.name.starts_with("PJSIP/stasa-") && channel.dialplan.exten == "3stasb",
                "{}: {channel:?}",
                s.name
            );
            let asked = "EVAL(${PJSIP_DIAL_CONTACTS(stasb,stasb)}|${PJSIP_DIAL_CONTACTS(nobody,nobody)})";
            let found = s.client.channel_variable(&channel.id, asked).await.expect("reads");
            let to = format!("PJSIP/stasb/{}", callee.contact());
            assert_eq!(found, Some(format!("{to}|")), "{}", s.name);
            let nothing = s.client.channel_variable(&channel.id, "NOTHING").await.expect("reads");
            assert_eq!(nothing, None, "{}", s.name);
            s.client
                .set_channel_variable(&channel.id, "TO", &to)
                .await
                .expect("sets");
            s.client.continue_in_dialplan(&channel.id, None).await.expect("goes on");
            assert_eq!(call.heard().await, heard, "{}: {does:?}", s.name);
            if heard == Heard::Answer {
                let late = s.client.set_channel_variable(&channel.id, "TO", "x").await;
                let late = late.expect_err("not in Stasis any more");
                assert!(late.to_string().contains("409"), "{}: {late}", s.name);
                call.over().await;
            } else {
                assert_eq!(s.ended().await, ended, "{}: {does:?}", s.name);
            }
            loop {
                if let AriEvent::StasisEnd { channel: left } = next_event(&mut events).await {
                    assert_eq!(left.id, channel.id, "{}", s.name);
                    break;
                }
            }
        }
        s.remove("stasa").await;
        s.remove("stasb").await;
    }
}

#[tokio::test]
async fn without_an_application_the_dialplan_goes_on() {
    for s in subjects("conf-stasis-none").await {
        let caller = s.phone("noappa").await;
        ask_in(&s, "conf-nobody").await;
        let mut call = s.call(&caller, "3x").await;
        assert_eq!(call.heard().await, refusal(41, 603), "{}", s.name);
        s.remove("noappa").await;
    }
}

#[tokio::test]
async fn a_hang_up_in_stasis_ends_the_call_with_its_cause() {
    for s in subjects("conf-stasis-hangup").await {
        let caller = s.phone("hstasa").await;
        ask_in(&s, "conf-stasis-hangup").await;
        let mut events = s.client.events(&[]);
        connected(&mut events).await;
        for (reason, heard) in [
            (HangupReason::Busy, refusal(17, 486)),
            (HangupReason::Unspecified, refusal(31, 480)),
        ] {
            let mut call = s.call(&caller, "3x").await;
            let (channel, _) = start(&mut events).await;
            assert!(
                s.client.hangup(&channel.id, reason).await.expect("hangs up"),
                "{}",
                s.name
            );
            assert_eq!(call.heard().await, heard, "{}", s.name);
            s.quiet(&["hstasa"]).await;
            let again = s.client.hangup(&channel.id, reason).await.expect("has gone");
            assert!(!again, "{}", s.name);
        }
        s.remove("hstasa").await;
    }
}

#[tokio::test]
async fn no_comma_within_an_open_bracket_parts_values() {
    for s in subjects("conf-brackets").await {
        let caller = s.phone("bracka").await;
        ask_in(&s, "conf-brackets").await;
        let mut events = s.client.events(&[]);
        connected(&mut events).await;
        let mut call = s.call(&caller, "3x").await;
        let (channel, _) = start(&mut events).await;
        let cases = [
            ("x,y", "x", "y"),
            ("x[::1],y", "x[::1]", "y"),
            ("x],y", "x]", "y"),
            ("x[,y", "x[,y", ""),
            ("x][,y", "x][,y", ""),
            ("x(,y", "x(,y", ""),
            ("([)],y", "([)]", "y"),
        ];
        for (number, (values, first, second)) in cases.into_iter().enumerate() {
            let names = ["FIRST", "SECOND"].map(|name| format!("{name}{number}"));
            let array = format!("ARRAY({})", names.join(","));
            let set = s.client.set_channel_variable(&channel.id, &array, values);
            set.await.expect("sets");
            let value = async |name: &str| s.client.channel_variable(&channel.id, name).await.expect("reads");
            // A channel that is not answered is looked after only now and then (16).
            let end = Instant::now() + PATIENCE;
            while value(&names[0]).await.is_none() {
                assert!(Instant::now() < end, "{}: {values} is not set", s.name);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let found = (value(&names[0]).await, value(&names[1]).await.unwrap_or_default());
            assert_eq!(
                found,
                (Some(first.to_owned()), second.to_owned()),
                "{}: {values}",
                s.name
            );
        }
        let busy = s.client.hangup(&channel.id, HangupReason::Busy);
        assert!(busy.await.expect("hangs up"), "{}", s.name);
        assert_eq!(call.heard().await, refusal(17, 486), "{}", s.name);
        s.remove("bracka").await;
    }
}

/// A FastAGI server for one call: asks for the device's contacts, has them dialled, and answers what it was sent.
async fn agi_server(device: &'static str) -> (String, tokio::task::JoinHandle<(Vec<String>, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address").to_string();
    let served = tokio::spawn(async move {
        let (stream, _) = timeout(PATIENCE, listener.accept())
            .await
            .expect("a call")
            .expect("accepts");
        let (input, mut output) = stream.into_split();
        let mut lines = BufReader::new(input).lines();
        let mut environment = Vec::new();
        while let Some(line) = lines.next_line().await.expect("reads").filter(|l| !l.is_empty()) {
            environment.push(line);
        }
        let ask = format!("GET FULL VARIABLE \"${{PJSIP_DIAL_CONTACTS({device},{device})}}\"\n");
        output.write_all(ask.as_bytes()).await.expect("writes");
        let contacts = lines.next_line().await.expect("reads").expect("an answer");
        let to = contacts.trim_start_matches("200 result=1 (").trim_end_matches(')');
        let set = format!("SET VARIABLE TO \"{to}\"\n");
        output.write_all(set.as_bytes()).await.expect("writes");
        assert_eq!(lines.next_line().await.expect("reads").as_deref(), Some("200 result=1"));
        (environment, contacts)
    });
    (address, served)
}

#[tokio::test]
async fn a_call_asks_over_fastagi() {
    for s in subjects("conf-agi").await {
        let caller = s.phone("agia").await;
        let callee = s.phone("agib").await;
        for (does, heard) in [
            (Does::AnswerAndHangUp, Heard::Answer),
            (Does::Refuse(486), refusal(17, 486)),
        ] {
            callee.does(does);
            let (address, served) = agi_server("agib").await;
            s.client.set_global("CONF_AGI", &address).await.expect("sets");
            let mut call = s.call(&caller, "4agib").await;
            assert_eq!(call.heard().await, heard, "{}", s.name);
            if heard == Heard::Answer {
                call.over().await;
            }
            let (environment, contacts) = served.await.expect("served");
            for line in [
                "agi_network: yes",
                "agi_network_script: route",
                "agi_arg_1: agib",
                "agi_extension: 4agib",
            ] {
                assert!(
                    environment.iter().any(|l| l == line),
                    "{}: {line} in {environment:?}",
                    s.name
                );
            }
            assert!(
                environment.iter().any(|l| l.starts_with("agi_channel: PJSIP/agia-")),
                "{}: {environment:?}",
                s.name
            );
            assert_eq!(
                contacts,
                format!("200 result=1 (PJSIP/agib/{})", callee.contact()),
                "{}",
                s.name
            );
        }
        s.quiet(&["agia", "agib"]).await;
        s.remove("agia").await;
        s.remove("agib").await;
    }
}

#[tokio::test]
async fn without_a_fastagi_server_the_dialplan_goes_on() {
    for s in subjects("conf-agi-none").await {
        let caller = s.phone("noagia").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let free = listener.local_addr().expect("an address").to_string();
        drop(listener);
        s.client.set_global("CONF_AGI", &free).await.expect("sets");
        let mut call = s.call(&caller, "4x").await;
        assert_eq!(call.heard().await, refusal(20, 480), "{}", s.name);
        s.remove("noagia").await;
    }
}

#[tokio::test]
async fn a_question_that_nobody_answers_ends_with_its_limit_and_the_call_goes_on() {
    for s in subjects("conf-agi-silent").await {
        let caller = s.phone("latea").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address").to_string();
        s.client.set_global("CONF_AGI", &address).await.expect("sets");
        let asked = Instant::now();
        let mut call = s.call(&caller, "6x").await;
        let (stream, _) = timeout(PATIENCE, listener.accept())
            .await
            .expect("a call")
            .expect("accepts");
        assert_eq!(call.heard().await, refusal(20, 480), "{}", s.name);
        assert!(
            asked.elapsed() >= Duration::from_secs(1),
            "{}: {:?}",
            s.name,
            asked.elapsed()
        );
        assert_eq!(s.ended().await, "late 60 ", "{}", s.name);
        // It does not wait for the server to hang up.
        let mut lines = BufReader::new(stream).lines();
        let all = async { while let Ok(Some(_)) = lines.next_line().await {} };
        timeout(PATIENCE, all).await.expect("the connection is closed");
        s.quiet(&["latea"]).await;
        s.remove("latea").await;
    }
}

#[tokio::test]
async fn an_application_that_keeps_a_call_loses_it_with_its_limit() {
    for s in subjects("conf-stasis-silent").await {
        let caller = s.phone("keepa").await;
        ask_in(&s, "conf-stasis-silent").await;
        let mut events = s.client.events(&[]);
        connected(&mut events).await;
        let mut call = s.call(&caller, "8x").await;
        let (channel, _) = start(&mut events).await;
        assert_eq!(call.heard().await, refusal(20, 480), "{}", s.name);
        assert_eq!(s.ended().await, "late 60 ", "{}", s.name);
        loop {
            if let AriEvent::StasisEnd { channel: left } = next_event(&mut events).await {
                assert_eq!(left.id, channel.id, "{}", s.name);
                break;
            }
        }
        s.remove("keepa").await;
    }
}
