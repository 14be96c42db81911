//! etcd beside us: three members on loopback, as Debian packages it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{ProcessError, Program, at, free_ports, leash};
use crate::load::etcd::api;
use api::maintenance_client::MaintenanceClient;

/// Longest wait until a cluster takes itself for healthy and lets a member be added.
const UNHEALTHY: Duration = Duration::from_secs(30);

/// One member; dropping it kills its process.
#[derive(Debug)]
pub struct EtcdMember {
    /// Where clients reach it.
    pub client: SocketAddr,
    /// Where the other members do.
    pub peer: SocketAddr,
    /// Its process.
    pub process: Program,
    name: String,
    folder: PathBuf,
}

/// A cluster of them. They end with the thread that started them, at the latest ([`leash`]).
#[derive(Debug)]
pub struct Etcd {
    /// Its members, running or not.
    pub members: Vec<EtcdMember>,
    binary: PathBuf,
    root: PathBuf,
}

impl EtcdMember {
    fn new(binary: &Path, root: &Path, name: &str) -> Result<Self, ProcessError> {
        let ports = free_ports::<2>().map_err(|e| at(root, e))?;
        let [client, peer] = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).map_err(|e| at(&folder, e))?;
        Ok(Self {
            client,
            peer,
            process: Program::new(name, binary, folder.join("log")),
            name: name.to_owned(),
            folder,
        })
    }

    fn words(&mut self, binary: &Path, initial: &str, state: &str) {
        let process = Program::new(&self.name, binary, self.folder.join("log")).args([
            format!("--name={}", self.name),
            format!("--data-dir={}", self.folder.join("data").display()),
            format!("--listen-client-urls=http://{}", self.client),
            format!("--advertise-client-urls=http://{}", self.client),
            format!("--listen-peer-urls=http://{}", self.peer),
            format!("--initial-advertise-peer-urls=http://{}", self.peer),
            format!("--initial-cluster={initial}"),
            format!("--initial-cluster-state={state}"),
            "--initial-cluster-token=bench".to_owned(),
            "--quota-backend-bytes=8589934592".to_owned(),
            "--logger=zap".to_owned(),
            "--log-level=error".to_owned(),
        ]);
        self.process = process.through(leash());
    }

    /// How it says it is.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self) -> Result<api::StatusResponse, tonic::Status> {
        let unreachable = |error: tonic::transport::Error| tonic::Status::unavailable(error.to_string());
        let endpoint = crate::load::endpoint(self.client).timeout(Duration::from_secs(1));
        let mut client = MaintenanceClient::new(endpoint.connect().await.map_err(unreachable)?);
        let status = client.status(api::StatusRequest {}).await?.into_inner();
        Ok(status)
    }

    /// Waits until it knows a leader and has applied at least `index`.
    ///
    /// # Errors
    /// When the process ends, or that does not come true within the time.
    pub async fn ready(&mut self, index: u64, within: Duration) -> Result<(), ProcessError> {
        let deadline = Instant::now() + within;
        loop {
            self.process.check()?;
            let status = self.status().await;
            if status.is_ok_and(|s| s.leader != 0 && s.raft_applied_index.max(s.raft_index) >= index) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let what = format!("{} knows a leader; log: {}", self.name, self.process.log_tail());
                return Err(ProcessError::Late { what, within });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Etcd {
    /// Starts `count` members of `binary` with their folders under `root`, and waits until they have a leader.
    ///
    /// # Errors
    /// When one of them does not start, or they do not find together.
    pub async fn start(binary: &Path, root: &Path, count: usize) -> Result<Self, ProcessError> {
        let mut members = Vec::new();
        for n in 1..=count {
            members.push(EtcdMember::new(binary, root, &format!("e{n}"))?);
        }
        let mut etcd = Self {
            members,
            binary: binary.to_owned(),
            root: root.to_owned(),
        };
        let initial = etcd.initial_cluster();
        for member in &mut etcd.members {
            member.words(binary, &initial, "new");
            member.process.start()?;
        }
        for member in &mut etcd.members {
            member.ready(1, Duration::from_secs(30)).await?;
        }
        Ok(etcd)
    }

    /// Adds a member, which starts empty; its place in [`Etcd::members`]. It is not waited for.
    ///
    /// # Errors
    /// When the cluster refuses, or it does not start.
    pub async fn grow(&mut self) -> Result<usize, ProcessError> {
        let binary = self.binary.clone();
        let name = format!("e{}", self.members.len() + 1);
        let member = EtcdMember::new(&binary, &self.root, &name)?;
        let refused = |why: String| ProcessError::Ended {
            what: format!("adding {name} to etcd"),
            status: "an error".to_owned(),
            said: why,
        };
        let asked = self.members[0].client;
        let channel = crate::load::endpoint(asked).connect().await;
        let channel = channel.map_err(|e| refused(e.to_string()))?;
        let request = api::MemberAddRequest {
            peer_urls: vec![format!("http://{}", member.peer)],
            is_learner: true,
        };
        let mut cluster = api::cluster_client::ClusterClient::new(channel);
        // It adds nobody for five seconds after a member was unreachable, and the members here have just been restarted.
        let deadline = tokio::time::Instant::now() + UNHEALTHY;
        while let Err(error) = cluster.member_add(request.clone()).await {
            if !error.message().contains("unhealthy") || tokio::time::Instant::now() > deadline {
                return Err(refused(error.message().to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.members.push(member);
        let initial = self.initial_cluster();
        let place = self.members.len() - 1;
        self.members[place].words(&binary, &initial, "existing");
        self.members[place].process.start()?;
        Ok(place)
    }

    /// The place of the leader in [`Etcd::members`].
    ///
    /// # Errors
    /// When nobody leads within the time.
    pub async fn leader(&self, within: Duration) -> Result<usize, ProcessError> {
        let deadline = Instant::now() + within;
        loop {
            for (place, member) in self.members.iter().enumerate() {
                let status = match member.process.is_running() {
                    true => member.status().await,
                    false => continue,
                };
                let leads = |s: api::StatusResponse| s.header.is_some_and(|h| h.member_id == s.leader);
                if status.is_ok_and(leads) {
                    return Ok(place);
                }
            }
            if Instant::now() > deadline {
                let what = "a member of etcd leads".to_owned();
                return Err(ProcessError::Late { what, within });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn initial_cluster(&self) -> String {
        let each = |m: &EtcdMember| format!("{}=http://{}", m.name, m.peer);
        self.members.iter().map(each).collect::<Vec<_>>().join(",")
    }
}
