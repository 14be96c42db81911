//! A batch: what one log entry carries. `count`, then for each request its length and its bytes, all numbers
//! four bytes, big-endian; each request in the codec's envelope. The leader joins requests of many clients and
//! nodes without decoding them.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fed_core::codec::{self, CodecError};
use fed_core::ids::{ClientId, Revision};
use fed_core::machine::{Machine, Request};

use crate::raft::Batch;

const KIND_REQUEST: u8 = 132;
const KIND_REPLY: u8 = 133;
/// Bytes that a request takes in a batch besides its own.
pub(crate) const OVERHEAD: usize = 4;

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed<R> {
    /// The machine's reply. A refusal by the machine is a reply.
    pub reply: R,
    /// The revision of the state after the command.
    pub revision: Revision,
    /// Whether the request had been applied before; the reply is the one given then.
    pub duplicate: bool,
}

pub(crate) fn encode_request<M: Machine>(
    client: ClientId,
    sequence: u64,
    command: M::Command,
) -> Result<Bytes, CodecError> {
    let request = Request {
        client,
        sequence,
        command,
    };
    codec::encode(KIND_REQUEST, 1, &request).map(Bytes::from)
}

/// The request, when it is one that this program can apply.
pub(crate) fn decode_request<M: Machine>(bytes: &[u8]) -> Result<Request<M::Command>, CodecError> {
    codec::decode(KIND_REQUEST, 1, bytes)
}

pub(crate) fn encode_reply<M: Machine>(reply: &M::Reply) -> Result<Bytes, CodecError> {
    codec::encode(KIND_REPLY, 1, reply).map(Bytes::from)
}

pub(crate) fn decode_reply<M: Machine>(bytes: &[u8]) -> Result<M::Reply, CodecError> {
    codec::decode(KIND_REPLY, 1, bytes)
}

/// Stands where the count of requests stands, before a feature level instead of requests.
const RAISE: u32 = u32::MAX;

/// What a log entry asks for.
pub(crate) enum Content<M: Machine> {
    Requests(Vec<Request<M::Command>>),
    /// From now on commands of this feature level are taken.
    RaiseLevel(u32),
}

/// An entry that raises the feature level.
pub(crate) fn raise(level: u32) -> Batch {
    let mut bytes = BytesMut::with_capacity(8);
    bytes.put_u32(RAISE);
    bytes.put_u32(level);
    Batch(bytes.freeze())
}

pub(crate) fn join<'a>(requests: impl ExactSizeIterator<Item = &'a Bytes> + Clone) -> Batch {
    let size: usize = 4 + requests.clone().map(|r| r.len() + OVERHEAD).sum::<usize>();
    let mut bytes = BytesMut::with_capacity(size);
    bytes.put_u32(length(requests.len()));
    for request in requests {
        bytes.put_u32(length(request.len()));
        bytes.put_slice(request);
    }
    Batch(bytes.freeze())
}

fn length(n: usize) -> u32 {
    u32::try_from(n).expect("batches are limited to a few megabytes")
}

/// What is in the batch.
///
/// # Errors
/// What cannot be read, in words.
pub(crate) fn split<M: Machine>(batch: &Batch) -> Result<Content<M>, String> {
    let mut rest = batch.0.clone();
    let take_number = |rest: &mut Bytes| rest.try_get_u32().map_err(|_| "a batch was cut off".to_owned());
    let count = take_number(&mut rest)?;
    if count == RAISE {
        let level = take_number(&mut rest)?;
        return Ok(Content::RaiseLevel(level));
    }
    let mut requests = Vec::with_capacity(count.min(1 << 16) as usize);
    for _ in 0..count {
        let length = take_number(&mut rest)? as usize;
        if length > rest.len() {
            return Err("a batch was cut off".to_owned());
        }
        let bytes = rest.split_to(length);
        requests.push(codec::decode(KIND_REQUEST, 1, &bytes).map_err(|e| e.to_string())?);
    }
    if rest.is_empty() {
        Ok(Content::Requests(requests))
    } else {
        Err(format!("{} bytes are left over after a batch", rest.len()))
    }
}
