//! An answer that lasts is looked at while it lasts: once its caller's token is revoked, changed or expired, it ends with the reason.
//!
//! The gate puts it around every answer, so that no call can be forgotten; what is whole at once is never held up by it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fed_core::audit::Actor;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::HeaderMap;

use super::caller::Caller;
use super::door::{Door, sent_away};

/// How often is asked whether the caller may still stay.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The body of an answer to somebody who may not stay for ever.
pub(super) struct WhileAllowed {
    inner: Body,
    door: Arc<Door>,
    caller: Caller,
    look: Pin<Box<Sleep>>,
    ended: bool,
}

impl WhileAllowed {
    /// Puts the look around `inner`; nothing of it is read after a look that found the caller gone.
    pub(super) fn around(inner: Body, door: Arc<Door>, caller: Caller) -> Body {
        // Of the others there is nothing to look up.
        if inner.is_end_stream() || !matches!(caller.who, Actor::Token(_)) {
            return inner;
        }
        Body::new(Self {
            inner,
            door,
            caller,
            look: Box::pin(sleep_until(Instant::now() + LOOK_EVERY)),
            ended: false,
        })
    }
}

impl HttpBody for WhileAllowed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        loop {
            // By the clock and not by the timer, which is only set by an answer that makes its caller wait.
            if Instant::now() >= this.look.deadline() {
                this.look.as_mut().reset(Instant::now() + LOOK_EVERY);
                if !this.door.may_stay(&this.caller) {
                    this.ended = true;
                    let mut trailers = HeaderMap::new();
                    let told = sent_away().add_header(&mut trailers);
                    return Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))));
                }
            }
            if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
                return Poll::Ready(frame);
            }
            if this.look.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
