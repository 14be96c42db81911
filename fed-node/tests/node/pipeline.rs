//! The stream of calls against a real node.

use std::collections::BTreeMap;

use crate::support::Federation;
use fed_proto::client as pb;
use pb::pipeline_reply::What as Answer;
use pb::pipeline_request::What as Asked;
use tonic::Code;

fn put(id: u64, user: &str) -> pb::PipelineRequest {
    let user = pb::User {
        id: user.to_owned(),
        ring: "all".to_owned(),
        ring_timeout_s: 30,
        ..pb::User::default()
    };
    let put = pb::PutUserRequest {
        user: Some(user),
        expect: None,
    };
    let what = Some(pb::change::What::PutUser(put));
    let what = Some(Asked::Change(pb::Change { what }));
    pb::PipelineRequest { id, what }
}

fn get(id: u64, user: &str) -> pb::PipelineRequest {
    let get = pb::GetRequest {
        id: user.to_owned(),
        ..pb::GetRequest::default()
    };
    let what = Some(Asked::GetUser(get));
    pb::PipelineRequest { id, what }
}

/// Sends the requests on one stream; the answers by their ids.
async fn ask(node: &crate::support::Node, requests: Vec<pb::PipelineRequest>) -> BTreeMap<u64, Answer> {
    let mut client = crate::support::client(node, &node.local_token()).await;
    let expected = requests.len();
    let (sender, receiver) = tokio::sync::mpsc::channel(expected);
    for request in requests {
        sender.send(request).await.unwrap();
    }
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut replies = client.pipeline(outgoing).await.unwrap().into_inner();
    let mut answers = BTreeMap::new();
    while answers.len() < expected {
        let reply = replies.message().await.unwrap().expect("the stream goes on");
        let before = answers.insert(reply.id, reply.what.unwrap());
        assert!(before.is_none(), "{} was answered twice", reply.id);
    }
    answers
}

#[tokio::test]
async fn every_request_of_a_stream_has_the_answer_of_a_call_of_its_own() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let names: Vec<String> = (0..300).map(|n| format!("user{n}")).collect();
    let puts = names.iter().zip(0..).map(|(name, id)| put(id, name)).collect();
    let written = ask(node, puts).await;
    assert!(
        written
            .values()
            .all(|answer| matches!(answer, Answer::Written(w) if w.revision > 0))
    );

    let mut questions: Vec<_> = names.iter().zip(0..).map(|(name, id)| get(id, name)).collect();
    questions.push(get(1000, "nobody"));
    questions.push(get(1001, "no;good"));
    questions.push(put(1002, ""));
    questions.push(pb::PipelineRequest { id: 1003, what: None });
    let answers = ask(node, questions).await;
    for (name, id) in names.iter().zip(0..) {
        let Some(Answer::User(found)) = answers.get(&id) else {
            panic!("{:?}", answers.get(&id));
        };
        assert_eq!(&found.user.as_ref().unwrap().id, name);
    }
    let code = |id| match answers.get(&id) {
        Some(Answer::Error(error)) => Code::from(error.code.cast_signed()),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(1000), Code::NotFound);
    assert_eq!(code(1001), Code::InvalidArgument);
    assert_eq!(code(1002), Code::InvalidArgument);
    assert_eq!(code(1003), Code::InvalidArgument);
}
