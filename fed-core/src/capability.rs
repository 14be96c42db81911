//! Proof that a call to a node was sent there by the federation.
//!
//! Who hands out a place to dial writes a capability into its user part: `device~token`. The token says which
//! nodes sent the call on, until when it is good, how many nodes the call has crossed, and carries a MAC over all that, the
//! device and the *node it is meant for*. The receiving node checks it and takes each token once
//! ([`ReplayGuard`]).
//!
//! The whole user part stays within 79 characters, what both Asterisk 16 and 22 carry: a device of 40, `~`,
//! and 37 characters of base 32 (14 bytes of claims, 9 bytes of MAC: forging one needs
//! about 2^72 calls within the few seconds a token lives).

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::ids::{DeviceId, NodeId};

mod path;
mod replay;

pub use path::Path;
pub use replay::{ReplayGuard, Spent};

/// Stands between device and token; no device id can hold it.
pub const SEPARATOR: char = '~';
/// The longest user part that [`mint`] makes.
pub const LONGEST_USER_PART: usize = 40 + 1 + 37;

const CLAIMS: usize = 14;
const MAC: usize = 9;
/// Binds the MAC to this use of the key.
const PURPOSE: &[u8] = b"federated asterisk capability 1";

/// What a capability says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The device to ring.
    pub device: DeviceId,
    /// The nodes that sent the call on, the last of which issued it.
    pub path: Path,
    /// The second of Unix time from which it is good no more.
    pub expires_unix_s: u32,
    /// Different in every capability of an issuer while another is good.
    pub nonce: u32,
    /// How many nodes the call has crossed, this crossing included.
    pub hops: u8,
}

/// Why a capability is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// No token in the user part.
    #[error(
        "the call carries no capability: it was not sent here by the federation; dial the device's plain name at your own node instead"
    )]
    Missing,
    /// A token that no node makes.
    #[error("the capability of the call is malformed: something on the way changed it, or it was made up")]
    Malformed,
    /// The MAC is not right for this device, node and key.
    #[error(
        "the capability of the call is not genuine for this node: it was made up, changed, or meant for another node; if all calls fail so, compare the setting capability_key on both nodes"
    )]
    Forged,
    /// Its time is over.
    #[error(
        "the capability of the call has expired: ask for the place anew; if it happens at once, compare the clocks of the nodes"
    )]
    Expired,
    /// It was used before.
    #[error("the capability of the call was used before: each is good for one call")]
    Replayed,
    /// It may have been used before: this node lost its list.
    #[error(
        "the list of used capabilities was damaged, and this one may have been on it: calls from other nodes come in again some seconds after the start of this node"
    )]
    Doubtful,
    /// More capabilities are in use than the guard can watch.
    #[error(
        "too many calls between nodes at once: the capability cannot be checked for reuse; try again in some seconds"
    )]
    Overloaded,
}

/// The user part to dial at `target`: `<device>~<token>`, at most [`LONGEST_USER_PART`] characters.
#[must_use]
pub fn mint(key: &[u8; 32], target: NodeId, claims: &Claims) -> String {
    let mut token = [0u8; CLAIMS + MAC];
    token[..5].copy_from_slice(&claims.path.to_bits().to_be_bytes()[3..]);
    token[5..9].copy_from_slice(&claims.expires_unix_s.to_be_bytes());
    token[9..13].copy_from_slice(&claims.nonce.to_be_bytes());
    token[13] = claims.hops;
    let mac = mac(key, target, claims.device.as_str(), &token[..CLAIMS])
        .finalize()
        .into_bytes();
    token[CLAIMS..].copy_from_slice(&mac[..MAC]);
    let token = data_encoding::BASE32_DNSSEC.encode(&token);
    format!("{}{SEPARATOR}{token}", claims.device)
}

/// The claims in `user_part`, which a call brought to node `here` at second `now_unix_s` of Unix time.
///
/// # Errors
/// [`CapabilityError`] `Missing`, `Malformed`, `Forged` or `Expired`, in this order. Whether it was used before
/// is for [`ReplayGuard::check`].
pub fn verify(key: &[u8; 32], here: NodeId, user_part: &str, now_unix_s: u32) -> Result<Claims, CapabilityError> {
    let (device, token) = user_part.split_once(SEPARATOR).ok_or(CapabilityError::Missing)?;
    let device = DeviceId::new(device).map_err(|_| CapabilityError::Malformed)?;
    let token: [u8; CLAIMS + MAC] = data_encoding::BASE32_DNSSEC
        .decode(token.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(CapabilityError::Malformed)?;
    mac(key, here, device.as_str(), &token[..CLAIMS])
        .verify_truncated_left(&token[CLAIMS..])
        .map_err(|_| CapabilityError::Forged)?;
    let number =
        |range: std::ops::Range<usize>| token[range].iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
    let claims = Claims {
        device,
        path: Path::from_bits(number(0..5)),
        expires_unix_s: number(5..9) as u32,
        nonce: number(9..13) as u32,
        hops: token[13],
    };
    if now_unix_s >= claims.expires_unix_s {
        Err(CapabilityError::Expired)
    } else {
        Ok(claims)
    }
}

fn mac(key: &[u8; 32], target: NodeId, device: &str, claims: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(PURPOSE);
    mac.update(&target.0.to_be_bytes());
    mac.update(claims);
    mac.update(device.as_bytes());
    mac
}
