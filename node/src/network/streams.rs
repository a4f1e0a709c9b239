//! The tasks that read and write the streams of a connection.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt, io::BufReader};
use libp2p::swarm::ConnectionId;

use super::{
    Inbox,
    ear::{Ear, Listening},
    frame::{self, FrameError, HEAD},
    peers::Record,
};
use crate::{
    messages::{Class, Message},
    peer::Misbehaviour,
};

/// Read from a stream at once.
const READ_BUFFER: usize = 64 * 1024;
/// Frames up to this length are copied together before they are written.
const COPIED_MAX: usize = 16 * 1024;
/// Written at once.
const WRITE_BUFFER: usize = 64 * 1024;

/// How a task of a stream ended.
#[derive(Debug)]
pub(super) struct StreamEnd {
    pub(super) number: usize,
    pub(super) connection: ConnectionId,
    pub(super) why: Ended,
}

/// Why.
#[derive(Debug)]
pub(super) enum Ended {
    /// The peer has nothing more to say on it.
    Finished,
    /// The stream broke.
    Broken(io::Error),
    /// This node has nothing more to say on it.
    Written,
    /// The peer is not to be listened to for a while.
    Misbehaviour,
}

/// Reads one stream to its end. The inbox is waited for after each message, so a full inbox holds up this peer alone.
pub(super) async fn read<S: AsyncRead + Unpin>(
    record: Arc<Record>,
    class: Class,
    stream: S,
    ear: Ear,
    inbox: Arc<dyn Inbox>,
) -> Ended {
    let stream = Listening::new(stream, ear.clone());
    let mut stream = BufReader::with_capacity(READ_BUFFER, stream);
    loop {
        let bytes = match frame::read(&mut stream).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ended::Finished,
            Err(FrameError::Io(error)) => return Ended::Broken(error),
            Err(error @ FrameError::TooLong(_)) => {
                record.misbehaved(Misbehaviour::new("frame_length", error));
                return Ended::Misbehaviour;
            }
        };
        let _held_up = ear.hold_up();
        record.traffic.received(HEAD + bytes.len());
        wait(&record, record.pace_bytes(HEAD + bytes.len())).await;
        let message = match Message::decode(&bytes) {
            Ok(message) => message,
            Err(error) => {
                record.misbehaved(Misbehaviour::new("undecodable", error));
                return Ended::Misbehaviour;
            }
        };
        drop(bytes);
        if message.class() != class {
            let detail = format!("{} on the other stream", message.kind());
            record.misbehaved(Misbehaviour::new("wrong_stream", detail));
            return Ended::Misbehaviour;
        }
        wait(&record, record.pace_work(message.work())).await;
        if let Err(misbehaviour) = inbox.message(record.peer, message).await
            && record.misbehaved(misbehaviour)
        {
            return Ended::Misbehaviour;
        }
    }
}

/// Holds up a peer that sends too fast.
async fn wait(record: &Record, pause: Duration) {
    if !pause.is_zero() {
        record.traffic.throttle();
        tokio::time::sleep(pause).await;
    }
}

/// Writes what waits for a peer to one of its connections, until the queue is closed.
pub(super) async fn write<S: AsyncWrite + Unpin>(
    record: Arc<Record>,
    class: Class,
    connection: ConnectionId,
    stream: S,
) -> Ended {
    match write_all(&record, class, connection, stream).await {
        Ok(()) => Ended::Written,
        Err(error) => Ended::Broken(error),
    }
}

async fn write_all<S: AsyncWrite + Unpin>(
    record: &Record,
    class: Class,
    connection: ConnectionId,
    mut stream: S,
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(WRITE_BUFFER + COPIED_MAX);
    while let Some((frames, empty)) = record.queue(class).take(connection).await {
        let bytes = frames.iter().map(|frame| HEAD + frame.len()).sum();
        write_frames(&mut stream, &mut buffer, &frames).await?;
        record.traffic.sent(frames.len(), bytes);
        if empty {
            stream.flush().await?;
        }
    }
    stream.close().await
}

async fn write_frames<S: AsyncWrite + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    frames: &[Bytes],
) -> io::Result<()> {
    for frame in frames {
        buffer.extend_from_slice(&frame::head(frame.len()));
        let copied = frame.len() <= COPIED_MAX;
        if copied {
            buffer.extend_from_slice(frame);
        }
        if !copied || buffer.len() >= WRITE_BUFFER {
            stream.write_all(buffer).await?;
            buffer.clear();
        }
        if !copied {
            stream.write_all(frame).await?;
        }
    }
    stream.write_all(buffer).await?;
    buffer.clear();
    Ok(())
}
