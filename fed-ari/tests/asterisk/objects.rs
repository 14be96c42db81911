//! The simulated Asterisk's objects and registrations, where a real one cannot be asked.

use std::time::Duration;

use fed_ari::{
    client::{AriClient, AriError, ObjectType},
    sim::{RegisterOutcome, Registration, SimAsterisk, SimConfig, SimVersion},
};

use crate::common::{add_device, eventually, sim};

#[tokio::test]
async fn a_registration_expires() {
    let (sim, client) = sim(SimVersion::V22).await;
    add_device(&client, "alice").await;
    let (lasting, short) = ("sip:alice@192.0.2.1:5060", "sip:alice@192.0.2.9:5060");
    assert_eq!(sim.register("alice", lasting), RegisterOutcome::Ok);
    let short = Registration {
        expires: Duration::from_millis(100),
        ..Registration::new("alice", short)
    };
    assert_eq!(sim.register_with(short), RegisterOutcome::Ok);
    eventually("the short registration to expire", || {
        sim.registrations("alice") == [lasting]
    })
    .await;
}

#[tokio::test]
async fn a_crowd_comes_a_few_at_a_time_and_neither_a_sign_of_life_nor_a_call_waits_for_it() {
    const CROWD: usize = 40;
    let (sim, client) = sim(SimVersion::V22).await;
    sim.slow_down(Duration::from_millis(200));
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get_object(ObjectType::Aor, "nobody").await })
        })
        .collect();
    // They are on their way; on a machine that is slower than this the sign of life comes first, which is no failure.
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.ping().await.expect("answers");
    assert_eq!(client.channel("nobody's").await.expect("answers"), None);
    // Answered are these and those who came first.
    let answered = sim.requests().len();
    assert!(answered < CROWD / 2, "{answered} calls were answered before");
    for call in crowd {
        assert_eq!(call.await.expect("no panic").expect("answers"), None);
    }
    assert_eq!(sim.requests().len(), CROWD + 2);
}

#[tokio::test]
async fn a_registration_that_takes_the_place_of_another_while_they_are_listed_is_found() {
    let (sim, client) = sim(SimVersion::V22).await;
    add_device(&client, "alice").await;
    let [first, second] = ["sip:alice@127.0.0.1:6001", "sip:alice@127.0.0.1:6002"];
    assert_eq!(sim.register("alice", first), RegisterOutcome::Ok);
    sim.clear_requests();
    sim.slow_down(Duration::from_millis(200));
    let listing = tokio::spawn(async move {
        client
            .live_contacts(["alice".to_owned()])
            .await
            .map(|listing| listing.contacts)
    });
    eventually("what there is has been told", || !sim.requests().is_empty()).await;
    sim.unregister("alice", first);
    assert_eq!(sim.register("alice", second), RegisterOutcome::Ok);
    let found = listing.await.expect("no panic").expect("lists");
    let uris: Vec<&str> = found.iter().map(|contact| contact.uri.as_str()).collect();
    assert_eq!(uris, [second]);
}

#[tokio::test]
async fn a_type_without_a_sorcery_mapping_is_refused_with_the_remedy() {
    let mut config = SimConfig::new(SimVersion::V22);
    config.writable.retain(|t| t != "aor");
    let sim = SimAsterisk::start(config).await.expect("starts");
    let client = AriClient::new(sim.ari_config("fed")).expect("a client");
    let refused = client
        .put_object(ObjectType::Aor, "alice", &[("max_contacts", "1")])
        .await
        .expect_err("refused");
    assert!(matches!(refused, AriError::Refused { status: 403, .. }), "{refused}");
    assert!(
        refused.to_string().contains("aor \"alice\"") && refused.to_string().contains("sorcery.conf"),
        "{refused}"
    );
}
