//! What was asked of the simulated Asterisk, for assertions.

use std::collections::VecDeque;

/// Requests kept; older ones are forgotten, their number is not.
const KEPT: usize = 100_000;

/// One REST call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `PUT`, `POST`, `DELETE`.
    pub method: String,
    /// Path and query as sent, still encoded.
    pub path: String,
    /// Status answered.
    pub status: u16,
}

/// The last requests and their number.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    requests: VecDeque<Request>,
    total: u64,
}

impl Journal {
    pub(crate) fn record(&mut self, request: Request) {
        self.total += 1;
        if self.requests.len() == KEPT {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }

    pub(crate) fn all(&self) -> Vec<Request> {
        self.requests.iter().cloned().collect()
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        self.total = 0;
    }
}
