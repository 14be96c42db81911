//! The simulated server's front door: a listener that can be shut, cutting every connection at once, and opened again at the same port.
//!
//! Behind it the HTTP server runs on; a shut door looks from outside like a killed process.

use std::{io, net::SocketAddr};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// An open door; dropping it shuts it.
pub(crate) struct Door {
    address: SocketAddr,
    task: AbortOnDropHandle<()>,
}

impl Door {
    /// Listens at `address` and passes every connection on to `inner`.
    pub(crate) async fn open(address: SocketAddr, inner: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(256)?;
        let address = listener.local_addr()?;
        Ok(Self {
            address,
            task: AbortOnDropHandle::new(tokio::spawn(pass(listener, inner))),
        })
    }

    /// Shuts it; afterwards the port is free and every connection is cut.
    pub(crate) async fn shut(self) {
        self.task.abort();
        // Cancelled, which is what was asked for.
        let _ = self.task.await;
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn pass(listener: TcpListener, inner: SocketAddr) {
    // Aborted with this task: no connection outlives the door.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((mut outside, _)) = listener.accept().await else {
            continue;
        };
        connections.spawn(async move {
            let Ok(mut inside) = TcpStream::connect(inner).await else {
                return;
            };
            // Without this, small answers wait for delayed acknowledgements.
            if outside.set_nodelay(true).is_err() || inside.set_nodelay(true).is_err() {
                return;
            }
            // Either end closing is how a connection ends.
            let _ = copy_bidirectional(&mut outside, &mut inside).await;
        });
    }
}
