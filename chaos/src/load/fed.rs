//! Our side: users of the map, through the typed client API.

use fed_proto::client as pb;
use fed_proto::client::federation_client::FederationClient;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use super::{Freshness, Store, VALUE_BYTES, settings, value};
use crate::process::{Access, Bearer};

/// The parts of a user that a seed fills; with the id they are [`VALUE_BYTES`] long.
const DISPLAY_NAME: usize = 80;
const SERVICE_CLASS: usize = 40;
const ID: usize = VALUE_BYTES - DISPLAY_NAME - SERVICE_CLASS;

/// A client of one node, by unary calls. A key is a user: its fields hold 128 bytes of text.
#[derive(Debug, Clone)]
pub struct FedStore {
    client: FederationClient<InterceptedService<Channel, Bearer>>,
}

impl FedStore {
    /// A client on a new connection.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(access: &Access) -> Result<Self, tonic::transport::Error> {
        let channel = settings(access.endpoint()?).connect().await?;
        Ok(Self {
            client: FederationClient::with_interceptor(channel, Bearer::of(access.address)),
        })
    }
}

/// The id of the user that is this key.
#[must_use]
pub fn id(key: u64) -> String {
    format!("u{key:0width$}", width = ID - 1)
}

/// The change that puts a new value under the key.
#[must_use]
pub fn put_request(key: u64, seed: u64) -> pb::PutUserRequest {
    let mut display_name = value(seed, DISPLAY_NAME + SERVICE_CLASS);
    let service_class = display_name.split_off(DISPLAY_NAME);
    pb::PutUserRequest {
        user: Some(pb::User {
            id: id(key),
            display_name,
            service_class: Some(service_class),
            ring: "all".to_owned(),
            ring_timeout_s: 30,
            ..pb::User::default()
        }),
        expect: None,
    }
}

/// The question for the key.
#[must_use]
pub fn get_request(key: u64, freshness: Freshness) -> pb::GetRequest {
    let consistency = match freshness {
        Freshness::Linearizable => pb::Consistency::Linearizable,
        Freshness::Local => pb::Consistency::Local,
    };
    pb::GetRequest {
        id: id(key),
        consistency: consistency as i32,
        with_credentials: false,
    }
}

/// Whether this is the whole user.
pub(crate) fn check(user: Option<&pb::User>) -> Result<(), Status> {
    let whole = user.is_some_and(|user| user.display_name.len() == DISPLAY_NAME);
    whole
        .then_some(())
        .ok_or_else(|| Status::data_loss("a user came back without what was written"))
}

impl Store for FedStore {
    async fn put(&self, key: u64, seed: u64) -> Result<(), Status> {
        let mut client = self.client.clone();
        client.put_user(put_request(key, seed)).await.map(drop)
    }

    async fn put_many(&self, first: u64, count: u64, seed: u64) -> Result<(), Status> {
        let mut client = self.client.clone();
        let changes = (0..count).map(|n| pb::Change {
            what: Some(pb::change::What::PutUser(put_request(first + n, seed + n))),
        });
        let request = pb::WriteManyRequest {
            changes: changes.collect(),
            all_or_nothing: false,
            dry_run: false,
        };
        let results = client.write(request).await?.into_inner().results;
        match results.into_iter().find(|result| !result.refusal.is_empty()) {
            Some(refused) => Err(Status::failed_precondition(refused.refusal)),
            None => Ok(()),
        }
    }

    async fn get(&self, key: u64, freshness: Freshness) -> Result<(), Status> {
        let mut client = self.client.clone();
        let request = get_request(key, freshness);
        let found = client.get_user(request).await?.into_inner();
        check(found.user.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_user_has_the_size_of_a_value() {
        let user = put_request(77, 5).user.expect("a user");
        let service_class = user.service_class.expect("a service class");
        assert_eq!(
            user.id.len() + user.display_name.len() + service_class.len(),
            VALUE_BYTES
        );
    }
}
