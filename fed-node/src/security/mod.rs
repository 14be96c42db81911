//! What keeps a node's secrets: the folder, tokens and their text, the key that seals what the map holds of passwords.

mod files;
mod keeper;
mod local_token;
mod text;
mod vault;

pub use files::{CLUSTER_KEY, folder, make_cluster_key, read_private, write_private};
pub use keeper::keep;
pub(crate) use keeper::{by_node, origin};
pub(crate) use local_token::same;
pub use local_token::{LOCAL_TOKEN, LocalToken};
pub use text::{TokenSecret, TokenText, hash_of};
pub use vault::Vault;
