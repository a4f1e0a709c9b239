//! Checkpoints: origin, size and root of a log in three lines (C2SP tlog-checkpoint).
//!
//! Extension lines are refused: nobody audits them, and two texts for one tree head would split its cosignatures.

use alloc::{borrow::ToOwned, format, string::String};

use super::{CosignatureError, KeyName, NoteError};
use crate::{
    Hash, LogSize,
    encoding::{Base64Error, base64_encode, base64_hash},
};

/// Longest origin, in bytes of UTF-8.
pub const ORIGIN_MAX: usize = 256;

/// The head of a log: which log, how many leaves, and their root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: LogSize,
    root: Hash,
}

/// Why a text is no checkpoint, or a checkpoint does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Fewer than three lines.
    #[error("a checkpoint has three lines: origin, size and root, each ended by a newline")]
    Form,
    /// The first line.
    #[error("the origin of a checkpoint has 1 to {ORIGIN_MAX} bytes and no control characters")]
    Origin,
    /// The second line.
    #[error("the size of a checkpoint is a decimal number below 2^64 without leading zeros")]
    Size,
    /// The third line.
    #[error("the root of a checkpoint: {0}")]
    Root(#[from] Base64Error),
    /// A fourth line.
    #[error("the checkpoint has extension lines, which this ledger does not use")]
    ExtensionLines,
    /// The note around the checkpoint.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A line with a known cosigner's name and key hash is not its cosignature of this checkpoint.
    #[error("the cosignature of {name} is refused: {source}")]
    Cosignature {
        /// The cosigner.
        name: KeyName,
        /// What is wrong with it.
        source: CosignatureError,
    },
    /// Two of the given cosigners share a key, or a name and key hash; one signer could then count twice.
    #[error("cosigner {0} stands in the list twice, or another one has the same key")]
    SameCosigner(KeyName),
    /// A quorum of none would make every checkpoint count.
    #[error("a quorum of zero cosignatures proves nothing")]
    NoQuorum,
    /// Too few distinct cosigners.
    #[error("the checkpoint has cosignatures of {have} known authorities, it needs {need}")]
    TooFewCosignatures {
        /// Distinct known keys with a valid cosignature.
        have: usize,
        /// The quorum.
        need: usize,
    },
}

impl Checkpoint {
    /// A checkpoint of these values.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`] where the origin cannot stand in a line of its own.
    pub fn new(origin: &str, size: LogSize, root: Hash) -> Result<Self, CheckpointError> {
        if origin.is_empty() || origin.len() > ORIGIN_MAX || origin.chars().any(char::is_control) {
            return Err(CheckpointError::Origin);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Reads the three lines. What it reads, [`Checkpoint::to_text`] writes again, byte for byte.
    ///
    /// # Errors
    /// Where the text is no plain checkpoint, see [`CheckpointError`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let lines = text.strip_suffix('\n').ok_or(CheckpointError::Form)?;
        let mut lines = lines.splitn(4, '\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Form);
        };
        if lines.next().is_some() {
            return Err(CheckpointError::ExtensionLines);
        }
        Self::new(origin, parse_size(size).ok_or(CheckpointError::Size)?, base64_hash(root)?)
    }

    /// The three lines, which are what is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, base64_encode(self.root.as_bytes()))
    }

    /// Which log it is.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many leaves it has.
    #[must_use]
    pub fn size(&self) -> LogSize {
        self.size
    }

    /// The RFC 6962 root of these leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.root
    }
}

/// Digits only (`str::parse` takes a plus sign as well), and no leading zero but in 0 itself.
fn parse_size(text: &str) -> Option<LogSize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if !digits || leading_zero {
        return None;
    }
    text.parse().ok().map(LogSize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::HashFromSliceError;

    const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

    fn parse(size: &str, root: &str) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::parse(&format!("example.com/behind-the-sofa\n{size}\n{root}\n"))
    }

    #[test]
    fn the_example_of_the_specification() {
        let text = format!("example.com/behind-the-sofa\n20852163\n{ROOT}\n");
        let checkpoint = Checkpoint::parse(&text).unwrap();
        assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
        assert_eq!(checkpoint.size(), LogSize(20_852_163));
        assert_eq!(base64_encode(checkpoint.root().as_bytes()), ROOT);
        assert_eq!(checkpoint.to_text(), text);
    }

    #[test]
    fn sizes_have_one_text() {
        assert_eq!(parse("0", ROOT).unwrap().size(), LogSize(0));
        assert_eq!(parse("18446744073709551615", ROOT).unwrap().size(), LogSize(u64::MAX));
        for size in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "1.0", "١", "18446744073709551616"]
        {
            assert_eq!(parse(size, ROOT), Err(CheckpointError::Size), "{size:?}");
        }
    }

    #[test]
    fn roots_have_one_text() {
        // The last two bits before the padding are not part of the hash: with "J" they would not be zero.
        for root in
            ["", &ROOT[..43], &ROOT.replace("I=", "J="), &ROOT.replace('/', "_"), &format!(" {}", &ROOT[1..])]
        {
            assert!(matches!(parse("1", root), Err(CheckpointError::Root(_))), "{root:?}");
        }
        let short = base64_encode(&[0; 31]);
        assert_eq!(parse("1", &short), Err(CheckpointError::Root(Base64Error::Hash(HashFromSliceError(31)))));
        let long = base64_encode(&[0; 33]);
        assert_eq!(parse("1", &long), Err(CheckpointError::Root(Base64Error::TooLong(32))));
    }

    #[test]
    fn the_lines_are_three() {
        for text in ["", "\n", "a\n1\n", &format!("a\n1\n{ROOT}")] {
            assert_eq!(Checkpoint::parse(text), Err(CheckpointError::Form), "{text:?}");
        }
        for more in ["more\n", "\n", "\n\n"] {
            let error = Checkpoint::parse(&format!("a\n1\n{ROOT}\n{more}")).unwrap_err();
            assert_eq!(error, CheckpointError::ExtensionLines);
            assert!(error.to_string().contains("extension lines"));
        }
    }

    #[test]
    fn origins_fit_in_a_line() {
        for origin in ["", "a\nb", "a\r", "a\tb", &"a".repeat(ORIGIN_MAX + 1)] {
            assert_eq!(
                Checkpoint::new(origin, LogSize(1), Hash::ZERO),
                Err(CheckpointError::Origin),
                "{origin:?}"
            );
        }
        assert!(Checkpoint::new(&"a".repeat(ORIGIN_MAX), LogSize(1), Hash::ZERO).is_ok());
    }
}
