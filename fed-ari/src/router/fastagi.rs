//! The FastAGI shell: Asterisk connects for each call, sends its environment, and takes commands one line at a time.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream, ToSocketAddrs,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::places::{FastAgiStats, Place, Places};
use super::{Ask, Decision, Question, Router, Told, at_once, devices, in_vain, question, told};
use crate::render::device_of_channel;

/// Calls asking at the same time; for further ones others give way.
const CONCURRENT: usize = 1_024;

/// Bytes of environment and answers that one call may send.
const LONGEST_TALK: u64 = 256 * 1024;

/// How long one call's whole conversation may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// A FastAGI server that answers `agi://HOST:PORT/route,NAME`, and `/again`, `/trunk` and `/moved` likewise.
pub struct FastAgi {
    listener: TcpListener,
    places: Arc<Places>,
}

impl FastAgi {
    /// Takes the address.
    ///
    /// # Errors
    /// Where it cannot be had, as for a port in use.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            places: Arc::new(Places::new(CONCURRENT)),
        })
    }

    /// With places for that many calls at the same time instead of 1,024.
    #[must_use]
    pub fn with_places(mut self, most: usize) -> Self {
        self.places = Arc::new(Places::new(most.max(1)));
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Where the system cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The live counters.
    #[must_use]
    pub fn stats(&self) -> Arc<FastAgiStats> {
        self.places.stats.clone()
    }

    /// Answers calls until dropped.
    pub async fn run(self, router: Arc<Router>) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, say: give calls in progress the time to end.
                    tracing::warn!(%error, "no call could be accepted on the FastAGI port");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let place = self.places.take().await;
            let router = Arc::clone(&router);
            tokio::spawn(async move {
                let answered = timeout(DEADLINE, answer(stream, &router, &place));
                match place.cut.run_until_cancelled(answered).await {
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => tracing::debug!(%error, "a FastAGI call ended early"),
                    Some(Err(_)) => tracing::warn!("a FastAGI call took longer than {DEADLINE:?}"),
                    None => tracing::debug!("a FastAGI connection gave way to a newer one"),
                }
            });
        }
    }
}

/// What a call says of itself before anything else.
type Environment = HashMap<String, String>;

/// The line that says what is asked. It is among the first: Asterisk's own, not what the caller can choose.
const SCRIPT: &str = "agi_network_script";

/// One call's conversation.
struct Talk {
    input: tokio::io::Lines<BufReader<tokio::io::Take<OwnedReadHalf>>>,
    output: OwnedWriteHalf,
}

async fn answer(stream: TcpStream, router: &Router, place: &Place) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (input, output) = stream.into_split();
    let mut talk = Talk {
        input: BufReader::new(input.take(LONGEST_TALK)).lines(),
        output,
    };
    let mut environment = HashMap::new();
    let Some(question) = talk.question(&mut environment).await? else {
        return Err(asked_nothing());
    };
    // What it wants to know comes before the rest of what it says: the map is asked meanwhile.
    let rest = async {
        talk.environment(&mut environment).await?;
        place.has_asked();
        io::Result::Ok(())
    };
    let look = async { io::Result::Ok(router.look(question).await) };
    let ((), snapshot) = tokio::try_join!(rest, look)?;
    let ask = ask(&environment).ok_or_else(asked_nothing)?;
    let decision = router.answer(&ask, snapshot).await;
    let mut told = talk.tell(&decision).await?;
    if told.in_vain
        && let Some(next) = in_vain(&ask)
    {
        let decision = router.ask(&next).await;
        told = talk.tell(&decision).await?;
    }
    for (name, value) in at_once(told.set) {
        talk.command(&format!("SET VARIABLE {name} {}", quoted(&value))).await?;
    }
    Ok(())
}

impl Talk {
    async fn tell(&mut self, decision: &Decision) -> io::Result<Told> {
        let devices = devices(decision);
        let registered = if devices.is_empty() {
            String::new()
        } else {
            self.evaluate(&question(&devices)).await?
        };
        Ok(told(decision, &devices, &registered))
    }

    /// Reads until it says what is asked; `None` where it never does, or asks what there is not.
    async fn question(&mut self, environment: &mut Environment) -> io::Result<Option<Question>> {
        while self.line(environment).await? {
            if let Some(script) = environment.get(SCRIPT) {
                return Ok(asked(script).map(|(question, _)| question));
            }
        }
        Ok(None)
    }

    /// Reads the lines up to the first empty one.
    async fn environment(&mut self, environment: &mut Environment) -> io::Result<()> {
        while self.line(environment).await? {}
        Ok(())
    }

    /// Reads one line; false for the empty one that ends the environment. The first of a name counts: what the caller can choose comes late.
    async fn line(&mut self, environment: &mut Environment) -> io::Result<bool> {
        let line = self.input.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if let Some((name, value)) = line.split_once(':') {
            environment
                .entry(name.to_owned())
                .or_insert_with(|| value.trim().to_owned());
        }
        Ok(!line.is_empty())
    }

    async fn command(&mut self, command: &str) -> io::Result<String> {
        self.output.write_all(format!("{command}\n").as_bytes()).await?;
        loop {
            match self.input.next_line().await? {
                Some(line) if line == "HANGUP" => return Err(io::Error::other("the caller hung up")),
                Some(line) if line.starts_with("200 ") => return Ok(line),
                Some(line) if line.starts_with("100 ") => {}
                Some(line) => return Err(io::Error::other(format!("Asterisk answered {line:?}"))),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// What an expression of the dialplan gives now; empty where it gives nothing.
    async fn evaluate(&mut self, expression: &str) -> io::Result<String> {
        let answer = self
            .command(&format!("GET FULL VARIABLE {}", quoted(expression)))
            .await?;
        let value = answer
            .split_once('(')
            .and_then(|(_, rest)| rest.rsplit_once(')'))
            .map(|(value, _)| value);
        Ok(value.unwrap_or_default().to_owned())
    }
}

fn asked_nothing() -> io::Error {
    io::Error::other("the dialplan asked none of /route, /again, /trunk and /moved; install fed-node's contexts again")
}

/// The question, and whether it is asked a second time, in the last part of the address that the dialplan called.
fn asked(script: &str) -> Option<(Question, bool)> {
    Question::parse(script.trim_matches('/'))
}

/// What the call asks, from its environment.
fn ask(environment: &Environment) -> Option<Ask> {
    let get = |name: &str| {
        environment
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    };
    let (question, again) = asked(get(SCRIPT)?)?;
    Some(Ask {
        question,
        again,
        dialled: get("agi_arg_1").unwrap_or_default().to_owned(),
        device: get("agi_channel").and_then(device_of_channel),
        number: get("agi_callerid")
            .filter(|number| *number != "unknown")
            .map(str::to_owned),
    })
}

/// A value as one AGI argument.
fn quoted(value: &str) -> String {
    let escaped: String = value
        .chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| if "\"\\".contains(c) { vec!['\\', c] } else { vec![c] })
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_one_argument() {
        assert_eq!(quoted("a b\"c\\d\ne"), "\"a b\\\"c\\\\de\"");
    }

    #[test]
    fn the_environment_says_who_asks_what() {
        let environment = [
            ("agi_network_script", "route"),
            ("agi_channel", "PJSIP/alice-00000001"),
            ("agi_callerid", "1001"),
            ("agi_arg_1", "1002"),
        ];
        let environment = environment
            .into_iter()
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect();
        let ask = ask(&environment).expect("asks");
        assert_eq!(ask.question, Question::Route);
        assert_eq!(ask.dialled, "1002");
        assert_eq!(ask.device.map(|d| d.to_string()).as_deref(), Some("alice"));
        assert_eq!(ask.number.as_deref(), Some("1001"));
    }
}
