//! Lists that a node gives page by page.

use std::future::Future;

use fed_proto::client as pb;
use tonic::{Response, Status};

use super::client::{Api, Client};
use super::exit::Outcome;

/// One page.
pub(super) trait Page {
    /// What is listed.
    type Record;

    /// Its records, and after which id the next page begins; empty: this was the last.
    fn parts(self) -> (Vec<Self::Record>, String);
}

impl Page for pb::ListUsersReply {
    type Record = pb::UserRecord;

    fn parts(self) -> (Vec<Self::Record>, String) {
        (self.users, self.next)
    }
}

impl Page for pb::ListDevicesReply {
    type Record = pb::DeviceRecord;

    fn parts(self) -> (Vec<Self::Record>, String) {
        (self.devices, self.next)
    }
}

impl Page for pb::ListTokensReply {
    type Record = pb::Token;

    fn parts(self) -> (Vec<Self::Record>, String) {
        (self.tokens, self.next)
    }
}

/// Every record of a list; `request` says of which.
///
/// # Errors
/// When the node cannot be asked.
pub(super) async fn all<P, F>(
    client: &Client,
    mut request: pb::ListRequest,
    call: impl Fn(Api, pb::ListRequest) -> F,
) -> Outcome<Vec<P::Record>>
where
    P: Page,
    F: Future<Output = Result<Response<P>, Status>>,
{
    let mut records = Vec::new();
    loop {
        let page = |api, consistency| {
            let request = pb::ListRequest {
                consistency,
                ..request.clone()
            };
            call(api, request)
        };
        let (more, next) = client.read(page).await?.parts();
        records.extend(more);
        if next.is_empty() {
            return Ok(records);
        }
        request.after = next;
    }
}
