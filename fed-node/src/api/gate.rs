//! The gate before the client API: every call passes it, and carries its [`Caller`] from there on.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::door::Door;
use super::stay::WhileAllowed;
use crate::explain;
use fed_raft::security;
use futures::FutureExt;
use futures::future::BoxFuture;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tonic::{Code, Status};

/// A service behind a door.
#[derive(Clone)]
pub(super) struct Gate<S> {
    door: Arc<Door>,
    inner: S,
}

impl<S> Gate<S> {
    /// Puts `inner` behind `door`.
    pub(super) fn new(door: Arc<Door>, inner: S) -> Self {
        Self { door, inner }
    }
}

impl<S: NamedService> NamedService for Gate<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The one that is ready is used, its copy waits for the next call.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        let door = self.door.clone();
        async move {
            let shown = request
                .headers()
                .get("authorization")
                .and_then(|value| value.to_str().ok());
            let source = source(&request);
            let admitted = door.admit(request.uri().path(), shown, source).await;
            match admitted {
                Ok(caller) => {
                    if let Some(visit) = request.extensions().get::<security::Visit>() {
                        visit.make_known();
                    }
                    let path = request.uri().path().to_owned();
                    request.extensions_mut().insert(caller.clone());
                    let mut response = inner.call(request).await?;
                    let status = Status::from_header_map(response.headers());
                    if status.is_some_and(|status| status.code() == Code::PermissionDenied) {
                        door.refused_inside(&caller.who, &path);
                    }
                    explain::complete(response.headers_mut());
                    Ok(response.map(|body| WhileAllowed::around(body, door, caller)))
                }
                Err(status) => {
                    let mut response = status.into_http();
                    explain::complete(response.headers_mut());
                    Ok(response)
                }
            }
        }
        .boxed()
    }
}

/// Where a call comes from; one that cannot tell shares a place with all others that cannot.
fn source(request: &Request<Body>) -> IpAddr {
    let visit = request.extensions().get::<security::Visit>();
    visit.map_or(Ipv4Addr::UNSPECIFIED.into(), |visit| visit.caller.address.ip())
}
