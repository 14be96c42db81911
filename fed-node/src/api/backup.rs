//! A backup as a stream to a client, which compresses, encrypts and keeps it.

use std::io::{self, Write};

use fed_proto::client as pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::backup::Source;

/// What a client reads.
pub(super) type Stream = ReceiverStream<Result<pb::BackupPart, Status>>;

/// Bytes in one message.
const PART: usize = 64 << 10;
/// Messages that wait for a slow client.
const WAITING: usize = 16;

/// Makes a backup and sends it.
pub(super) async fn start(source: &Source) -> Result<Stream, Status> {
    let made = source.make().await.map_err(Status::internal)?;
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let out = io::BufWriter::with_capacity(PART, Parts(sender.clone()));
        if let Err(error) = made.pack(out) {
            // A client that went away is told nothing.
            let _ = sender.blocking_send(Err(Status::internal(format!("the backup broke off: {error}"))));
        }
    });
    Ok(ReceiverStream::new(receiver))
}

struct Parts(mpsc::Sender<Result<pb::BackupPart, Status>>);

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(PART)];
        let part = pb::BackupPart { data: bytes.to_vec() };
        let sent = self.0.blocking_send(Ok(part));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
