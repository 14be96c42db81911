//! The roster: users and devices as a CSV file, in (`user import`) and out (`user export`).
//!
//! One line is one device of one user; a user with several devices has several lines, whose user columns agree. A user
//! without a device has one line with an empty device column. [`row`] knows the columns, [`check`] turns lines into
//! users and devices or says everything that is wrong, [`import`](self::import()) writes, [`export`](self::export()) reads.

mod check;
mod export;
mod import;
mod plan;
mod row;

pub use check::{LineError, Roster, check};
pub use export::export;
pub use import::import;
