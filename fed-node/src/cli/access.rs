//! How a node is reached: where it is, by what it is believed, and what is shown to it.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use fed_raft::security::{Connector, NodeName, Trust, name_in_pem};
use tokio::net::TcpStream;

use super::bearer::Bearer;
use super::client::{CONNECT_WITHIN, Client};
use super::exit::{Failure, Outcome};
use crate::address::Address;
use crate::config::Config;
use crate::explain;
use crate::security::SecurityFolder;

/// Where the client API of a node on this machine is, when nothing says otherwise.
const PORT: u16 = 7400;

/// What the command line says of the node to talk to; the rest follows from the configuration.
#[derive(Debug, Clone, Default, Args)]
pub struct Access {
    /// Node to talk to; http:// before a loopback address: one with security.plaintext [default: client.listen of the configuration]
    #[arg(
        long,
        global = true,
        env = "FED_SERVER",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    pub server: Option<Server>,

    /// Host that the node's certificate must hold, when it is reached by another: through a tunnel [default: that of --server; on the node's own machine it must be that very node]
    #[arg(
        long,
        global = true,
        env = "FED_SERVER_NAME",
        hide_env_values = true,
        value_name = "HOST"
    )]
    pub server_name: Option<String>,

    /// Certificate of the authority that nodes are believed by [default: that of the node on this machine, from its data folder]
    #[arg(long, global = true, env = "FED_CA", hide_env_values = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// File with the token to show [default: that of the node on this machine, from its data folder]
    #[arg(
        long,
        global = true,
        env = "FED_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub token_file: Option<PathBuf>,
}

/// A node's client API, as `--server` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it is.
    pub address: Address,
    /// Whether it is spoken to in clear text.
    pub plain: bool,
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, plain) = match text.split_once("://") {
            Some(("http", rest)) => (rest, true),
            Some(("https", rest)) => (rest, false),
            _ => (text, false),
        };
        let address: Address = rest
            .trim_end_matches('/')
            .parse()
            .map_err(|error: crate::address::BadAddress| error.to_string())?;
        if plain && !address.is_loopback() {
            return Err(format!(
                "{address} is another machine, and clear text is spoken on this one alone: leave http:// out"
            ));
        }
        Ok(Self { address, plain })
    }
}

impl Access {
    /// The client API that is asked.
    #[must_use]
    pub fn address(&self, config: Option<&Config>) -> Address {
        match (&self.server, config) {
            (Some(server), _) => server.address.clone(),
            (None, Some(config)) => default_server(config.client.listen.clone()),
            (None, None) => Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], PORT))),
        }
    }

    /// Connects to it.
    ///
    /// # Errors
    /// When nobody answers there, it cannot prove that it is a node, or there is nothing to tell that by; the text says what to do.
    pub async fn client(&self, config: Option<&Config>) -> Outcome<Client> {
        let address = self.address(config);
        let connector = match self.connector(&address, config) {
            Ok(connector) => connector,
            // Where nobody is, that is what is to be said.
            Err(failure) => return Err(nobody_at(&address).await.unwrap_or(failure)),
        };
        let bearer = Bearer::find(self.token_file.as_deref(), config, &address)?;
        Client::connect(&address, connector, bearer).await
    }

    /// In clear text only on this machine, and only where somebody says so.
    fn connector(&self, address: &Address, config: Option<&Config>) -> Outcome<Connector> {
        let told = self.server.as_ref().is_some_and(|server| server.plain);
        if told || address.is_loopback() && config.is_some_and(|config| config.security.plaintext) {
            return Ok(Connector::plain());
        }
        Connector::tls(self.trust(address, config)?).map_err(Failure::failed)
    }

    /// Who is believed, and expected: the node of this machine's data folder where its own address is asked or its own token is shown;
    /// otherwise a node whose certificate holds the host that is asked. A node that was taken out has a certificate too, for days.
    pub(super) fn trust(&self, address: &Address, config: Option<&Config>) -> Outcome<Trust> {
        let unknown = |why: String| {
            Failure::usage(format!(
                "{why}; by that certificate a node is told from somebody else: run this on a node as root or as its user, or name a copy with --ca (a node with security.plaintext, such as those of `fed-node dev`: --server http://{address})"
            ))
            .coded(explain::Code::NodeNotBelieved)
        };
        let built_in = |config: &Config| SecurityFolder::of(&config.data_dir).authority();
        let configured = config.map(|config| config.tls.ca.clone().unwrap_or_else(|| built_in(config)));
        let path = self.ca.clone().or(configured);
        let path = path.ok_or_else(|| unknown("there is no configuration that says where ca.crt is".to_owned()))?;
        let shown = path.display();
        let text = std::fs::read_to_string(&path).map_err(|error| unknown(format!("{shown}: {error}")))?;
        let trust = Trust::authorities(&text).map_err(|error| unknown(format!("{shown}: {error}")))?;
        if let Some(name) = &self.server_name {
            return trust
                .at(name)
                .map_err(|why| Failure::usage(format!("--server-name: {why}")));
        }
        if let Some(node) = config.and_then(|config| self.own_node(address, config)) {
            return Ok(trust.of(node));
        }
        if address.is_loopback() {
            // However it is written; every node's certificate holds it.
            return trust.at("localhost").map_err(Failure::failed);
        }
        Ok(trust)
    }

    /// The node of this machine's data folder, when it is the one that is meant.
    fn own_node(&self, address: &Address, config: &Config) -> Option<NodeName> {
        let shows_its_token = self.token_file.is_none() && is_here(address, config);
        let own_address = *address == default_server(config.client.listen.clone());
        if !shows_its_token && !own_address {
            return None;
        }
        let built_in = || SecurityFolder::of(&config.data_dir).certificate();
        let certificate = config.tls.cert.clone().unwrap_or_else(built_in);
        name_in_pem(&std::fs::read_to_string(certificate).ok()?)
    }
}

/// Whether the address is of this machine, whose node's own token is shown there.
pub(super) fn is_here(address: &Address, config: &Config) -> bool {
    address.is_loopback() || config.client.listen == *address
}

/// Why nobody can be reached there, if that is so.
async fn nobody_at(address: &Address) -> Option<Failure> {
    let connected = async { TcpStream::connect(address.resolve_one().await?).await };
    match tokio::time::timeout(CONNECT_WITHIN, connected).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(Failure::unreachable(address, error)),
        Err(_) => Some(Failure::unreachable(address, "no answer in time")),
    }
}

/// A wildcard is listened on, but not talked to.
pub(crate) fn default_server(listen: Address) -> Address {
    match listen.host() {
        "0.0.0.0" => Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], listen.port()))),
        "::" => Address::from(std::net::SocketAddr::from((
            std::net::Ipv6Addr::LOCALHOST,
            listen.port(),
        ))),
        _ => listen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_text_is_spoken_on_this_machine_alone() {
        let server = |text: &str| text.parse::<Server>();
        assert!(server("http://127.0.0.1:7400").unwrap().plain && server("http://[::1]:1/").unwrap().plain);
        assert!(!server("127.0.0.1:7400").unwrap().plain && !server("https://192.0.2.1:7400").unwrap().plain);
        for bad in ["http://192.0.2.1:7400", "ftp://127.0.0.1:1", "http://", "x"] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }

    /// The configuration of a node with a certificate, as `init` leaves it.
    fn node(data_dir: &std::path::Path) -> (Config, NodeName) {
        let environment = [("FED_DATA_DIR".to_owned(), data_dir.display().to_string())];
        let config = crate::config::load_with(None, environment, &crate::config::ConfigFlags::default()).unwrap();
        let name: NodeName = format!("fed://{}/node/7", "a".repeat(32)).parse().unwrap();
        let authority = fed_raft::security::Authority::make(name.cluster).unwrap();
        let made = fed_raft::security::request_key(None).unwrap();
        let signing = fed_raft::security::Signing {
            name,
            hosts: &[],
            lifetime: std::time::Duration::from_secs(60),
        };
        std::fs::create_dir_all(data_dir.join("security")).unwrap();
        let certificate = authority.sign(&made.public_key, &signing).unwrap();
        std::fs::write(data_dir.join("security/node.crt"), certificate).unwrap();
        (config, name)
    }

    #[test]
    fn on_its_own_machine_the_very_node_is_expected() {
        let data = tempfile::tempdir().unwrap();
        let (config, name) = node(data.path());
        let with_token = Access {
            token_file: Some("token".into()),
            ..Access::default()
        };
        let expected = |access: &Access, address: &str| access.own_node(&address.parse().unwrap(), &config);
        // Its token is shown on loopback, whatever listens there; its address is its own, whatever is shown.
        for (access, address, own) in [
            (&Access::default(), "127.0.0.1:7400", true),
            (&Access::default(), "localhost:9999", true),
            (&Access::default(), "192.0.2.1:7400", false),
            (&with_token, "127.0.0.1:7400", true),
            (&with_token, "127.0.0.1:9999", false),
            (&with_token, "192.0.2.1:7400", false),
        ] {
            assert_eq!(expected(access, address), own.then_some(name), "{address}");
        }
    }

    #[test]
    fn without_an_authority_nobody_is_believed_and_the_remedy_is_said() {
        let access = Access {
            server: Some("192.0.2.1:7400".parse().unwrap()),
            ..Access::default()
        };
        let said = access.connector(&access.address(None), None).unwrap_err().message;
        assert!(said.contains("--ca"), "{said}");
    }
}
