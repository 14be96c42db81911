//! Names of hosts, remembered: whoever elects a leader must not have to wait for the name service.
//!
//! The system's resolver may take many seconds to say that its server is gone, and nothing can call it off. A node that dies may
//! well have been the name service, or the reason why it is slow.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

/// A name whose addresses are known is waited for this long; well below the time that a connection may take.
const PATIENCE: Duration = Duration::from_millis(100);

/// The names that this process connects to. A few: the members, and whoever a program asks to join.
pub(super) static NAMES: LazyLock<Names> = LazyLock::new(|| Names::new(system));

type Answer = Result<Vec<SocketAddr>, Arc<io::Error>>;
type LookUp = fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

pub(super) struct Names {
    look_up: LookUp,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

#[derive(Default)]
struct Known {
    /// What the name meant when it was last answered for.
    last: Option<Vec<SocketAddr>>,
    /// One question at a time: each holds a thread until the resolver gives up.
    asking: Option<watch::Receiver<Option<Answer>>>,
}

fn system(name: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
    Box::pin(async move { Ok(tokio::net::lookup_host(name).await?.collect()) })
}

impl Names {
    fn new(look_up: LookUp) -> Self {
        Self {
            look_up,
            known: Arc::default(),
        }
    }

    /// The addresses of `host:port`. Where no answer comes soon, or none, those of the last answer.
    pub(super) async fn addresses(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let (mut answer, last) = self.ask(name);
        let answered = async move {
            match answer.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(answer)) => answer.clone(),
                _ => Err(Arc::new(io::Error::other("the lookup was called off"))),
            }
        };
        let Some(last) = last else {
            return answered.await.map_err(|error| why(name, &error));
        };
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => {
                tracing::debug!(name, %error, "the name does not resolve: its last addresses are used");
                Ok(last)
            }
            Err(_) => {
                tracing::debug!(
                    name,
                    "the name service is slow: the last addresses of the name are used"
                );
                Ok(last)
            }
        }
    }

    /// Learns the addresses of a name before they are needed.
    pub(super) fn look_ahead(&self, name: &str) {
        if name.parse::<SocketAddr>().is_err() {
            self.ask(name);
        }
    }

    /// The answer that is on its way, and what was answered last.
    fn ask(&self, name: &str) -> (watch::Receiver<Option<Answer>>, Option<Vec<SocketAddr>>) {
        let mut all = self.known.lock();
        let known = all.entry(name.to_owned()).or_default();
        if let Some(asking) = &known.asking {
            return (asking.clone(), known.last.clone());
        }
        let (tell, asking) = watch::channel(None);
        known.asking = Some(asking.clone());
        let last = known.last.clone();
        drop(all);
        let (known, look_up, name) = (Arc::clone(&self.known), self.look_up, name.to_owned());
        tokio::spawn(async move {
            let answer = look_up(name.clone()).await.and_then(|addresses| match addresses.len() {
                0 => Err(io::Error::other("the name has no address")),
                _ => Ok(addresses),
            });
            if let Some(known) = known.lock().get_mut(&name) {
                known.asking = None;
                if let Ok(addresses) = &answer {
                    known.last = Some(addresses.clone());
                }
            }
            tell.send_replace(Some(answer.map_err(Arc::new)));
        });
        (asking, last)
    }
}

fn why(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn at(port: u16) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([127, 0, 0, 1], port))]
    }

    async fn soon(addresses: impl Future<Output = io::Result<Vec<SocketAddr>>>) -> Vec<SocketAddr> {
        let answer = tokio::time::timeout(Duration::from_secs(30), addresses).await;
        answer.expect("waited for the name service").expect("remembered")
    }

    #[tokio::test]
    async fn a_name_service_that_hangs_holds_up_nobody_who_was_reached_before() {
        static TIMES: AtomicUsize = AtomicUsize::new(0);
        let names = Names::new(|_| {
            Box::pin(async {
                match TIMES.fetch_add(1, Ordering::SeqCst) {
                    0 => Ok(at(1)),
                    _ => std::future::pending().await,
                }
            })
        });
        assert_eq!(names.addresses("n2:7401").await.expect("answered"), at(1));
        for _ in 0..3 {
            assert_eq!(soon(names.addresses("n2:7401")).await, at(1));
        }
        assert_eq!(TIMES.load(Ordering::SeqCst), 2, "one question at a time");
    }

    #[tokio::test]
    async fn a_new_answer_takes_the_place_of_the_last_and_a_refusal_does_not() {
        static TIMES: AtomicUsize = AtomicUsize::new(0);
        let names = Names::new(|_| {
            Box::pin(async {
                match TIMES.fetch_add(1, Ordering::SeqCst) {
                    0 => Ok(at(1)),
                    1 => Ok(at(2)),
                    2 => Ok(Vec::new()),
                    _ => Err(io::Error::other("no such name")),
                }
            })
        });
        for expected in [1, 2, 2, 2] {
            assert_eq!(names.addresses("n2:7401").await.expect("known"), at(expected));
        }
    }

    #[tokio::test]
    async fn a_name_that_was_never_answered_for_is_refused_by_name() {
        let names = Names::new(|_| Box::pin(async { Err(io::Error::other("no such name")) }));
        let error = names.addresses("n9:7401").await.expect_err("unknown");
        assert!(error.to_string().contains("n9:7401"), "{error}");
    }

    #[tokio::test]
    async fn what_is_looked_up_ahead_is_there_when_the_name_service_is_gone() {
        static TIMES: AtomicUsize = AtomicUsize::new(0);
        let names = Names::new(|_| {
            Box::pin(async {
                match TIMES.fetch_add(1, Ordering::SeqCst) {
                    0 => Ok(at(1)),
                    _ => std::future::pending().await,
                }
            })
        });
        names.look_ahead("n2:7401");
        let (mut answer, _) = names.ask("n2:7401");
        answer.wait_for(Option::is_some).await.expect("answered");
        assert_eq!(soon(names.addresses("n2:7401")).await, at(1));
        let times = TIMES.load(Ordering::SeqCst);
        names.look_ahead("127.0.0.1:7401");
        tokio::task::yield_now().await;
        assert_eq!(TIMES.load(Ordering::SeqCst), times, "an address is no name");
    }
}
