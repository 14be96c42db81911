//! A device that is elsewhere: Asterisk asks the redirect server behind its second aor and follows the answer.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

use super::{
    handset::{Does, Heard, refusal},
    subject::subjects,
};

/// A redirect server that answers every INVITE the same way, as long as the test runs.
pub(crate) async fn redirect_server(answer: &str, contact: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("an address").to_string();
    let (answer, contact) = (answer.to_owned(), contact.to_owned());
    tokio::spawn(async move {
        let mut buffer = [0; 8192];
        loop {
            let (size, from) = socket.recv_from(&mut buffer).await.expect("receives");
            let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
            if text.starts_with("INVITE") {
                let reply = reply(&text, &answer, &contact);
                socket.send_to(reply.as_bytes(), from).await.expect("sends");
            }
        }
    });
    address
}

fn reply(invite: &str, answer: &str, contact: &str) -> String {
    let wanted = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let copied: String = invite
        .lines()
        .filter(|line| wanted.iter().any(|name| line.starts_with(name)))
        .map(|line| {
            format!(
                "{line}{}\r\n",
                if line.starts_with("To:") { ";tag=redirect" } else { "" }
            )
        })
        .collect();
    format!("SIP/2.0 {answer}\r\n{copied}Contact: <{contact}>\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn a_302_is_followed_to_where_the_device_is() {
    for s in subjects("conf-redirect").await {
        let caller = s.phone("reda").await;
        let far = s.far_phone("redb");
        let redirect = redirect_server("302 Moved Temporarily", &far.contact()).await;
        s.device_redirected("redb", "1", &redirect).await;
        far.does(Does::AnswerAndHangUp);
        let mut call = s.call(&caller, "2redb").await;
        assert_eq!(call.heard().await, Heard::Answer, "{}", s.name);
        call.over().await;
        assert_eq!(s.ended().await, "ANSWER 16", "{}", s.name);
        for (does, ended, heard) in [
            (Does::Refuse(486), "BUSY 17", refusal(17, 486)),
            (Does::Refuse(603), "CHANUNAVAIL 21", refusal(21, 403)),
            (Does::Ring, "NOANSWER 0", refusal(16, 603)),
        ] {
            far.does(does);
            let mut call = s.call(&caller, "1redb").await;
            let went = (call.heard().await, s.ended().await);
            assert_eq!(went, (heard, ended.to_owned()), "{}: {does:?}", s.name);
        }
        // Registered here, she rings here: the first aor with a contact decides.
        let asked = far.calls();
        let near = s.handset("redb", fed_tests::phone::Transport::Udp);
        near.register(true).await;
        near.does(Does::AnswerAndHangUp);
        let mut call = s.call(&caller, "2redb").await;
        assert_eq!(call.heard().await, Heard::Answer, "{}", s.name);
        call.over().await;
        assert_eq!((near.calls(), far.calls()), (1, asked), "{}", s.name);
        s.quiet(&["reda", "redb"]).await;
        s.remove("reda").await;
        s.remove("redb").await;
    }
}

/// What answers the first INVITE of each connection with this.
async fn redirect_server_over_tcp(answer: &str, contact: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address").to_string();
    let (answer, contact) = (answer.to_owned(), contact.to_owned());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let mut text = String::new();
            while !text.contains("\r\n\r\n") {
                let mut piece = [0; 8192];
                let size = stream.read(&mut piece).await.expect("reads");
                text += &String::from_utf8_lossy(&piece[..size]);
            }
            let reply = reply(&text, &answer, &contact);
            stream.write_all(reply.as_bytes()).await.expect("writes");
            tokio::spawn(async move {
                // The ACK, and until the other side has enough of it.
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_redirect_server_is_asked_over_tcp_where_the_contact_says_so() {
    for s in subjects("conf-redirect-tcp").await {
        let caller = s.phone("tcpa").await;
        let far = s.far_phone("tcpb");
        let redirect = redirect_server_over_tcp("302 Moved Temporarily", &far.contact()).await;
        s.device_redirected("tcpb", "1", &format!("{redirect};transport=tcp"))
            .await;
        far.does(Does::AnswerAndHangUp);
        let mut call = s.call(&caller, "2tcpb").await;
        assert_eq!(call.heard().await, Heard::Answer, "{}", s.name);
        call.over().await;
        assert_eq!(s.ended().await, "ANSWER 16", "{}", s.name);
        // Where nobody listens the connection is refused at once, and so is the call.
        s.device_redirected("tcpb", "1", "127.0.0.1:9;transport=tcp").await;
        let mut call = s.call(&caller, "1tcpb").await;
        let went = (call.heard().await, s.ended().await);
        assert_eq!(went, (refusal(34, 503), "CONGESTION 34".to_owned()), "{}", s.name);
        s.quiet(&["tcpa", "tcpb"]).await;
        s.remove("tcpa").await;
        s.remove("tcpb").await;
    }
}

#[tokio::test]
async fn a_caller_who_gives_up_is_cancelled_behind_a_302() {
    for s in subjects("conf-redirect-cancel").await {
        let caller = s.phone("giva").await;
        let far = s.far_phone("givb");
        let redirect = redirect_server("302 Moved Temporarily", &far.contact()).await;
        s.device_redirected("givb", "1", &redirect).await;
        far.does(Does::Ring);
        let mut call = s.call(&caller, "1givb").await;
        assert!(call.rings().await, "{}", s.name);
        call.hang_up().await;
        s.quiet(&["giva", "givb"]).await;
        s.remove("giva").await;
        s.remove("givb").await;
    }
}

#[tokio::test]
async fn what_the_redirect_server_refuses_ends_the_dial() {
    for s in subjects("conf-redirect-no").await {
        let caller = s.phone("refa").await;
        for (answer, ended, heard) in [
            ("404 Not Found", "CHANUNAVAIL 1", refusal(1, 404)),
            ("480 Temporarily Unavailable", "NOANSWER 19", refusal(19, 480)),
            ("503 Service Unavailable", "CONGESTION 34", refusal(34, 503)),
        ] {
            let redirect = redirect_server(answer, "sip:x@127.0.0.1:9").await;
            s.device_redirected("refb", "1", &redirect).await;
            let mut call = s.call(&caller, "1refb").await;
            let went = (call.heard().await, s.ended().await);
            assert_eq!(went, (heard, ended.to_owned()), "{}: {answer}", s.name);
        }
        s.remove("refa").await;
        s.remove("refb").await;
    }
}

#[tokio::test]
async fn a_redirect_server_that_is_down_is_waited_for_until_the_dial_times_out() {
    for s in subjects("conf-redirect-down").await {
        let caller = s.phone("downa").await;
        s.device("downb", "1").await;
        let mut call = s.call(&caller, "1downb").await;
        let went = (call.heard().await, s.ended().await);
        assert_eq!(went, (refusal(16, 603), "NOANSWER 0".to_owned()), "{}", s.name);
        s.remove("downa").await;
        s.remove("downb").await;
    }
}
