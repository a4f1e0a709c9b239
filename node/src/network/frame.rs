//! Frames on a stream: the length as four bytes, big-endian, then the message.

use std::io;

use futures::{AsyncRead, AsyncReadExt};

use crate::messages::MESSAGE_MAX;

/// Bytes before a message.
pub(super) const HEAD: usize = 4;

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The stream ended or broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer's fault: no message is that long.
    #[error("a frame of {0} bytes was announced, none has more than {MESSAGE_MAX}")]
    TooLong(u32),
}

/// The bytes before a message of this length.
pub(super) fn head(length: usize) -> [u8; HEAD] {
    u32::try_from(length).expect("no message is longer than MESSAGE_MAX").to_be_bytes()
}

/// The next message's bytes; `None` where the stream ended between two.
pub(super) async fn read<R: AsyncRead + Unpin>(stream: &mut R) -> Result<Option<Vec<u8>>, FrameError> {
    let mut head = [0; HEAD];
    if stream.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut head[1..]).await?;
    let announced = u32::from_be_bytes(head);
    let length = usize::try_from(announced).ok().filter(|length| *length <= MESSAGE_MAX);
    let mut message = vec![0; length.ok_or(FrameError::TooLong(announced))?];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read_all(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, FrameError> {
        futures::executor::block_on(read(&mut bytes))
    }

    #[test]
    fn a_frame_reads_back() {
        let bytes = [&head(3)[..], b"abc"].concat();
        assert_eq!(read_all(&bytes).unwrap().unwrap(), b"abc");
        assert!(read_all(&[]).unwrap().is_none());
    }

    #[test]
    fn a_length_that_no_message_has_is_refused_before_anything_is_read() {
        let refused = read_all(&head(MESSAGE_MAX + 1)).unwrap_err();
        assert!(matches!(refused, FrameError::TooLong(length) if length as usize == MESSAGE_MAX + 1));
        assert!(matches!(read_all(&[0xFF; 4]), Err(FrameError::TooLong(u32::MAX))));
    }

    #[test]
    fn half_a_frame_is_an_end_of_the_stream() {
        for cut in 1..7 {
            let bytes = [&head(3)[..], b"abc"].concat();
            assert!(matches!(read_all(&bytes[..cut]), Err(FrameError::Io(_))), "{cut}");
        }
    }
}
