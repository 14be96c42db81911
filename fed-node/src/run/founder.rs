//! What the founder of a federation writes into the map once: the realm and the key of the capabilities.

use std::time::Duration;

use data_encoding::HEXLOWER;
use fed_ari::port::MapPort;
use fed_core::command::{Command, Expect, Refusal, Reply};
use fed_core::records::setting;

/// Pause before another try.
const PAUSE: Duration = Duration::from_millis(300);

/// Writes both, all or nothing, unless they are there already. Tries until it knows.
pub(super) async fn found(port: &dyn MapPort, realm: String) {
    loop {
        match port.local().view().capability_key() {
            Ok(Some(_)) => return,
            Ok(None) => {}
            Err(error) => return tracing::error!(%error, "the map cannot be read"),
        }
        let key: [u8; 32] = rand::random();
        let put = |name: &str, value: String| Command::PutSetting {
            key: name.to_owned(),
            value: value.into(),
            expect: Expect::Absent,
        };
        let settings = vec![
            put(setting::CAPABILITY_KEY, HEXLOWER.encode(&key)),
            put(setting::REALM, realm.clone()),
        ];
        match port
            .propose(Command::Batch(settings))
            .await
            .map(|proposed| proposed.reply)
        {
            Ok(Reply::Refused(Refusal::InBatch { why, .. })) if matches!(*why, Refusal::Conflict { .. }) => return,
            Ok(Reply::Refused(why)) => return tracing::error!(%why, "the federation could not be founded"),
            Ok(_) => return tracing::info!(realm, "federation founded"),
            Err(error) => tracing::debug!(%error, "the federation is not founded yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
