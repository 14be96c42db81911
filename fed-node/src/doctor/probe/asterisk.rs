//! The Asterisk beside this node: over ARI, and in its files.

use fed_ari::client::{AriClient, AriConfig, AriError};

use super::ports;
use crate::config::{Config, RedirectTransport};
use crate::doctor::{AsteriskFacts, Sip};
use crate::explain::Coded;
use crate::install;

/// A global variable of the dialplan that nothing reads: setting it shows that the user may change something.
const HARMLESS: &str = "FED_DOCTOR";

/// What is found; none where the node has no Asterisk.
pub(super) async fn look(config: &Config) -> Option<AsteriskFacts> {
    let asterisk = &config.asterisk;
    if !asterisk.enabled {
        return None;
    }
    let mut facts = AsteriskFacts::default();
    let mut ari = AriConfig::new(
        &asterisk.url,
        &asterisk.username,
        asterisk.password.reveal(),
        &asterisk.app,
    );
    ari.timeouts.request = std::time::Duration::from_millis(asterisk.timeout_ms);
    let told = |error: AriError| format!("{error} [{}]", error.code());
    match AriClient::new(ari) {
        Err(error) => facts.version = Some(Err(told(error))),
        Ok(client) => match client.info().await {
            Err(error) => facts.version = Some(Err(told(error))),
            Ok(info) => {
                facts.version = Some(Ok(info.version));
                facts.may_write = Some(client.set_global(HARMLESS, "1").await.map_err(told));
                facts.modules = Some(client.modules().await.map_err(told).map(|modules| {
                    let running = modules.into_iter().filter(|module| module.status != "Not Running");
                    running.map(|module| module.name).collect()
                }));
            }
        },
    }
    match install::wiring(config).await {
        Ok(wiring) => {
            facts.http_warning = wiring.http_warning;
            facts.refreshes = wiring.refreshes;
            facts.files = Some(Ok(wiring.files));
        }
        Err(why) => facts.files = Some(Err(why)),
    }
    let (transport, why) = install::redirect_transport(config);
    facts.redirect_over_tcp = Some((transport == RedirectTransport::Tcp, why));
    let address = config.sip_advertised();
    facts.sip = Some(Sip {
        answers: ports::speaks_sip(&address).await,
        address: address.to_string(),
        has_transport: install::has_transport(config),
    });
    Some(facts)
}
