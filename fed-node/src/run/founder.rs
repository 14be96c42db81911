//! What the founder of a federation writes into the map once: the realm and the key of the capabilities.

use std::time::Duration;

use data_encoding::HEXLOWER;
use fed_ari::port::MapPort;
use fed_core::command::{Command, Expect, Refusal, Reply};
use fed_core::records::setting;

use crate::security::Vault;

/// Pause before another try.
const PAUSE: Duration = Duration::from_millis(300);

/// Writes what is not there yet, each by itself: a realm that somebody has set already stays, and the key is made all the same. Tries until it
/// knows.
pub(super) async fn found(port: &dyn MapPort, vault: &Vault, realm: String) {
    while vault.sealing_key().is_none() {
        // The key of the capabilities is never written open.
        tokio::time::sleep(PAUSE).await;
    }
    // The realm first: it can only be set while there are no devices.
    put_absent(port, setting::REALM, realm).await;
    let key: [u8; 32] = rand::random();
    put_absent(port, setting::CAPABILITY_KEY, HEXLOWER.encode(&key)).await;
}

async fn put_absent(port: &dyn MapPort, key: &str, value: String) {
    loop {
        match port.local().view().setting(key) {
            Ok(Some(_)) => return,
            Ok(None) => {}
            Err(error) => return tracing::error!(%error, "the map cannot be read"),
        }
        let put = Command::PutSetting {
            key: key.to_owned(),
            value: value.clone().into(),
            expect: Expect::Absent,
        };
        match port.propose(put).await.map(|proposed| proposed.reply) {
            // Somebody was quicker.
            Ok(Reply::Refused(Refusal::Conflict { .. })) => return,
            Ok(Reply::Refused(why)) => {
                return tracing::error!(key, %why, "a setting of the new federation could not be made");
            }
            Ok(_) => return tracing::info!(key, "a setting of the new federation was made"),
            Err(error) => tracing::debug!(%error, "the federation is not founded yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
