//! How the map is stored: frozen types, one module for each version, and the step to and from the program's types.
//!
//! A type in a version's module never changes. A change of shape is a new module, a new version number in
//! [`Stored::encode`], and a migration from the version before in [`Stored::decode`].

use crate::audit::{Entry, Head};
use crate::codec::{self, CodecError};
use crate::ids::{NodeId, Revision, SessionId, UserId};
use crate::records::{Binding, Device, Node, Record, Session, SettingValue, Token, User};

pub(crate) mod v1;

/// What can stand in a row of the map.
pub(crate) trait Stored: Sized {
    /// The kind in the envelope, one for each sort of row.
    const KIND: u8;

    /// The row's bytes, in the newest version.
    fn encode(&self) -> Result<Vec<u8>, CodecError>;

    /// The value in a row's bytes, of any version known.
    fn decode(bytes: &[u8]) -> Result<Self, CodecError>;
}

/// The bindings of one device, which are one row: a registration reads and writes one place.
pub(crate) type Bindings = Vec<Record<Binding>>;

/// How many of something there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u64);

macro_rules! stored {
    ($kind:literal, $now:ty, $v1:ty) => {
        impl Stored for $now {
            const KIND: u8 = $kind;

            fn encode(&self) -> Result<Vec<u8>, CodecError> {
                codec::encode(Self::KIND, 1, &<$v1>::from(self))
            }

            fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
                codec::decode::<$v1>(Self::KIND, 1, bytes).map(Self::from)
            }
        }
    };
}

stored!(1, Record<User>, v1::Record<v1::User>);
stored!(2, Record<Device>, v1::Record<v1::Device>);
stored!(3, Bindings, v1::Bindings);
stored!(4, Record<Node>, v1::Record<v1::Node>);
stored!(5, Session, v1::Session);
stored!(6, Record<SettingValue>, v1::Record<v1::Setting>);
stored!(7, UserId, v1::UserName);
stored!(8, NodeId, v1::NodeNumber);
stored!(9, SessionId, v1::SessionNumber);
stored!(10, Count, v1::Count);
stored!(11, Record<Token>, v1::Record<v1::Token>);
stored!(12, Entry, v1::Entry);
stored!(13, Head, v1::Head);

fn revisions<T, S>(record: &Record<T>, value: S) -> v1::Record<S> {
    v1::Record {
        created: record.created.0,
        modified: record.modified.0,
        value,
    }
}

impl<S> v1::Record<S> {
    fn into_record<T>(self, value: impl FnOnce(S) -> T) -> Record<T> {
        Record {
            created: Revision(self.created),
            modified: Revision(self.modified),
            value: value(self.value),
        }
    }
}
