//! A federation in one process: simulated Asterisks with their bridges around one map.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use fed_ari::{
    bridge::{Bridge, BridgeConfig, BridgeStatus, Phase, check_drift},
    client::{AriClient, Capabilities},
    port::{
        MapPort,
        memory::{MemoryMap, MemoryPort},
    },
    router::{FastAgi, Router},
    sim::{RegisterOutcome, SimAsterisk, SimConfig, SimVersion},
    stanzas::{Asking, ConfigFile, StanzaOptions, stanzas},
};
use fed_core::{
    command::{Command, Expect, Reply},
    ids::{ContactUri, DeviceId, NodeId, Number, UserId},
    records::{Device, DigestCredentials, Node, NodeState, User},
};
use tokio::{
    net::TcpListener,
    time::{Instant, timeout},
};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A dialplan of the customer's own: his extension has the number of a user.
const CUSTOMER: &str = "
[customer]
exten => 1002,1,Dial(PJSIP/bob,20)
";

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// One node: an Asterisk, its bridge and its router.
pub(crate) struct Site {
    pub(crate) sim: SimAsterisk,
    pub(crate) client: AriClient,
    pub(crate) port: Arc<MemoryPort>,
    pub(crate) router: Arc<Router>,
    pub(crate) bridge: Option<Bridge>,
    /// Where its redirect server is said to be; nobody is there unless a test is.
    pub(crate) redirect: String,
    agi: tokio::task::JoinHandle<()>,
    asked: SocketAddr,
    identity: String,
    /// Between two looks at whether anything is left to do.
    pub(crate) settle: Duration,
    folder: tempfile::TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.agi.abort();
    }
}

impl Site {
    /// An Asterisk with the generated dialplan, and its bridge once that is started.
    pub(crate) async fn new(map: &MemoryMap, id: u64, version: SimVersion) -> Self {
        let port = Arc::new(map.port(NodeId(id)));
        let router = Arc::new(Router::new(port.clone()));
        let agi = FastAgi::bind("127.0.0.1:0").await.expect("a port");
        let asked = agi.local_addr().expect("an address");
        let options = options(version, asked.to_string());
        let dialplan = stanzas(&options, |_| ConfigFile::default())
            .expect("stanzas")
            .pop()
            .expect("four files");
        assert_eq!(dialplan.file, "extensions.conf");
        let sim = SimAsterisk::start(SimConfig {
            dialplan: dialplan.text + CUSTOMER,
            ..SimConfig::new(version)
        })
        .await
        .expect("starts");
        let client = AriClient::new(sim.ari_config("fed")).expect("a client");
        put_node(map, id, &sim.sip_address().to_string());
        let agi = tokio::spawn(agi.run(router.clone()));
        Self {
            sim,
            client,
            port,
            router,
            bridge: None,
            redirect: "127.0.0.1:5070".to_owned(),
            agi,
            asked,
            identity: format!("test/{id}"),
            settle: Duration::from_secs(5),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Starts the bridge.
    pub(crate) fn start(&mut self) {
        self.start_looking_again(Duration::from_millis(500));
    }

    /// Starts the bridge, which looks at everything again this often.
    pub(crate) fn start_looking_again(&mut self, every: Duration) {
        let port: Arc<dyn MapPort> = self.port.clone();
        let mut config = BridgeConfig::new(self.redirect.clone(), self.identity.clone());
        config.rhythm.look_again = every;
        config.rhythm.settle = self.settle;
        config.settled_file = Some(self.settled_file());
        self.bridge = Some(Bridge::start(self.client.clone(), port, self.router.clone(), config));
    }

    /// Ends the bridge as a process that is stopped.
    pub(crate) async fn stop(&mut self) {
        self.bridge.take().expect("started").stop().await;
    }

    /// Where the bridge notes up to where map and Asterisk agreed.
    pub(crate) fn settled_file(&self) -> PathBuf {
        self.folder.path().join("settled")
    }

    /// Up to where map and Asterisk agreed, as noted; 0 where nothing is.
    pub(crate) fn settled(&self) -> u64 {
        let text = std::fs::read_to_string(self.settled_file()).unwrap_or_default();
        text.lines().last().map_or(0, |line| line.parse().expect("a revision"))
    }

    pub(crate) fn status(&self) -> BridgeStatus {
        self.bridge.as_ref().expect("started").status()
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn when(&self, what: &str, holds: impl FnMut(&BridgeStatus) -> bool) {
        let mut status = self.bridge.as_ref().expect("started").watch_status();
        let seen = timeout(PATIENCE, status.wait_for(holds)).await;
        assert!(matches!(seen, Ok(Ok(_))), "not in time: {what}; {:?}", self.status());
    }

    pub(crate) async fn up(&self) {
        self.when("the bridge is up", |s| s.phase == Phase::Up && s.session.is_some())
            .await;
    }

    /// Instead of the FastAGI server one that says nothing, for as long as what is given is kept.
    pub(crate) async fn say_nothing(&self) -> TcpListener {
        self.agi.abort();
        let end = Instant::now() + PATIENCE;
        loop {
            match TcpListener::bind(self.asked).await {
                Ok(listener) => return listener,
                Err(error) => assert!(Instant::now() < end, "{} is still taken: {error}", self.asked),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// A phone registers.
    pub(crate) fn register(&self, device: &str, contact: &str) {
        assert_eq!(
            self.sim.register(device, contact),
            RegisterOutcome::Ok,
            "{device} registers"
        );
    }

    /// Waits until the map and this Asterisk agree.
    pub(crate) async fn agrees(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let drift = check_drift(&*self.port, &self.client).await.expect("checks");
            if drift.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "still adrift: {drift:?}");
        }
    }
}

/// Options for the stanzas of a version.
pub(crate) fn options(version: SimVersion, agi: String) -> StanzaOptions {
    let capabilities = Capabilities::of_version(version.text().parse().expect("a version"));
    // Both ways are gone, each where it may be.
    let asking = if Asking::Stasis.suits(&capabilities) {
        Asking::Stasis
    } else {
        Asking::FastAgi
    };
    StanzaOptions {
        ari_user: "fed".into(),
        ari_password: "secret".into(),
        http: ([127, 0, 0, 1], 8088).into(),
        http_prefix: String::new(),
        app: "fed".into(),
        agi,
        asking,
        refresh_events: true,
    }
}

/// Two nodes, 22 and 16, with their bridges up.
pub(crate) async fn pair(map: &MemoryMap) -> (Site, Site) {
    let mut a = Site::new(map, 1, SimVersion::V22).await;
    let mut b = Site::new(map, 2, SimVersion::V16).await;
    a.start();
    b.start();
    a.up().await;
    b.up().await;
    (a, b)
}

/// A map with its key and these users, each with one device of the same name and the numbers 1001, 1002, ...
pub(crate) fn map_with(users: &[&str]) -> MemoryMap {
    let map = MemoryMap::new();
    done(
        &map,
        Command::PutSetting {
            key: "capability_key".into(),
            value: "5a".repeat(32).into(),
            expect: Expect::Any,
        },
    );
    for (index, user) in users.iter().enumerate() {
        add_user(&map, user, &format!("{}", 1_001 + index));
    }
    map
}

/// Applies a command that must be accepted.
pub(crate) fn done(map: &MemoryMap, command: Command) {
    let reply = map.apply(command).reply;
    assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
}

pub(crate) fn put_node(map: &MemoryMap, id: u64, sip_address: &str) {
    let node = Node {
        id: NodeId(id),
        name: format!("n{id}"),
        peer_address: "127.0.0.1:7401".into(),
        client_address: "127.0.0.1:7400".into(),
        sip_address: sip_address.into(),
        asterisk_version: None,
        capabilities: Vec::new(),
        state: NodeState::Up,
        weight: 1,
        zone: None,
    };
    done(
        map,
        Command::PutNode {
            node,
            expect: Expect::Any,
        },
    );
}

pub(crate) fn add_user(map: &MemoryMap, name: &str, number: &str) {
    let mut user = User::new(UserId::new(name).expect("an id"));
    user.display_name = name.to_uppercase();
    user.numbers = vec![Number::new(number).expect("a number")];
    done(
        map,
        Command::PutUser {
            user,
            expect: Expect::Any,
        },
    );
    done(
        map,
        Command::PutDevice {
            device: device(name),
            expect: Expect::Any,
        },
    );
}

/// A device of the user of the same name.
pub(crate) fn device(name: &str) -> Device {
    let credentials = DigestCredentials {
        realm: "federated".into(),
        md5_ha1: "0".repeat(32),
    };
    Device::new(
        DeviceId::new(name).expect("an id"),
        UserId::new(name).expect("an id"),
        credentials,
    )
}

/// Where the map says that a device is registered, as (node, contact), live ones only.
pub(crate) fn places(map: &MemoryMap, name: &str) -> Vec<(u64, String)> {
    let snapshot = map.snapshot();
    let bindings = snapshot
        .view()
        .live_bindings_of(&DeviceId::new(name).expect("an id"))
        .expect("reads");
    bindings
        .into_iter()
        .map(|b| (b.value.node.0, b.value.contact.to_string()))
        .collect()
}

/// Waits until the map has a device in exactly one place.
pub(crate) async fn placed(map: &MemoryMap, name: &str, node: u64, contact: &str) {
    until(&format!("{name} is at node {node}"), || {
        places(map, name) == [(node, contact.to_owned())]
    })
    .await;
}

pub(crate) fn contact(uri: &str) -> ContactUri {
    ContactUri::new(uri).expect("a contact")
}
