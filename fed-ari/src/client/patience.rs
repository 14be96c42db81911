//! Calls that are tried again.

use std::{future::Future, time::Duration};

use super::AriError;

/// Attempts at a call that met a transient error.
const ATTEMPTS: u32 = 4;

/// Makes a call until it is answered, or has met a transient error four times within some 700 ms.
pub(crate) async fn patiently<T, Fut: Future<Output = Result<T, AriError>>>(
    call: impl Fn() -> Fut,
) -> Result<T, AriError> {
    let mut attempt = 1;
    loop {
        match call().await {
            Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                tokio::time::sleep(Duration::from_millis(50) * attempt * attempt).await;
                attempt += 1;
            }
            done => return done,
        }
    }
}
