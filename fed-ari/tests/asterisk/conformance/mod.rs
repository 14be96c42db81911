//! The same statements about the simulated and about real Asterisks, so that the simulation cannot drift from the truth.
//!
//! The simulation is always asked. Real ones are asked as well where `FED_REAL_ASTERISKS` names them, separated by blanks, each as
//! `http://HOST:PORT,SIPHOST:PORT,USER,PASSWORD[,SOCKET]`, with writable sorcery mappings, UDP and TCP transports, and the contexts of
//! `dialplan.conf`, one statement at a time (`--test-threads=1`). Whoever connects to the Unix socket has that Asterisk killed and
//! started again; without one it is not asked about restarts. The phones that ring, answer and refuse are then real ones.

mod asking;
mod calls;
mod events;
mod handset;
mod objects;
pub(crate) mod redirects;
mod register;
mod restarts;
mod subject;
mod wire;
