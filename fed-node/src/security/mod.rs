//! What keeps a node's secrets, and what it proves itself with.
//!
//! [`files`] is the folder and how files in it are read and written, [`folder`] names them. Tokens of the client API: [`text`],
//! [`local_token`]. The key that seals what the map holds of passwords: [`vault`], [`keeper`]. What is in the audit log beside changes: [`notes`]. Certificates, and how a node comes by
//! its own, for which [`hosts`], keeps it fresh and hands others theirs: [`join_token`] is the text that brings a node in, [`admission`] the leader's part
//! of a join and [`joining`] the newcomer's, [`renewal`] what goes on while a node runs, [`validity`] what is told of it. What is done with certificates on the wire is
//! fed-raft's.

mod admission;
mod files;
mod folder;
mod founding;
mod hosts;
mod join_token;
mod joining;
mod keeper;
mod lifetime;
mod local_token;
mod material;
mod notes;
mod renewal;
mod text;
mod validity;
mod vault;

pub(crate) use admission::{Admission, answer_authority_key, answer_certificate};
pub use files::{CLUSTER_KEY, folder, make_cluster_key, read_private, write_private};
pub use folder::{FileError, SecurityFolder};
pub(crate) use founding::found;
pub use join_token::{BadToken, JoinToken};
pub(crate) use joining::{JoinError, join};
pub use keeper::keep;
pub(crate) use keeper::{by_node, in_the_name_of, origin};
pub(crate) use local_token::same;
pub use local_token::{LOCAL_TOKEN, LocalToken};
pub(crate) use material::{Source, certificate_expires, security};
pub(crate) use notes::{NOTES_FROM_LEVEL, note, note_at_start, write_refusals, write_waiting};
pub(crate) use renewal::keep_fresh;
pub use text::{TokenSecret, TokenText, hash_of};
pub(crate) use validity::Validity;
pub use vault::{SameDigest, Vault, carries_secret};
