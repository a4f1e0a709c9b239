//! As much of CBOR (RFC 8949) as COSE receipts need, in its deterministic encoding: definite lengths, each number and
//! length in its shortest form. A reader is told what must come next, so nothing nests and nothing is built.

use alloc::vec::Vec;

/// Major types.
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const NULL: u8 = 0xf6;

/// Arguments up to this one stand in the first byte.
const SMALL_MAX: u64 = 23;

/// Writes items one after the other.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    fn head(&mut self, major: u8, argument: u64) {
        let first = major << 5;
        let bytes = argument.to_be_bytes();
        match argument {
            ..=SMALL_MAX => self.0.push(first | bytes[7]),
            24..=0xff => self.0.extend_from_slice(&[first | 24, bytes[7]]),
            0x100..=0xffff => {
                self.0.push(first | 25);
                self.0.extend_from_slice(&bytes[6..]);
            }
            0x1_0000..=0xffff_ffff => {
                self.0.push(first | 26);
                self.0.extend_from_slice(&bytes[4..]);
            }
            _ => {
                self.0.push(first | 27);
                self.0.extend_from_slice(&bytes);
            }
        }
    }

    pub(super) fn unsigned(&mut self, number: u64) {
        self.head(UNSIGNED, number);
    }

    /// The number -1 - `argument`.
    pub(super) fn negative(&mut self, argument: u64) {
        self.head(NEGATIVE, argument);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn array(&mut self, items: u64) {
        self.head(ARRAY, items);
    }

    pub(super) fn map(&mut self, entries: u64) {
        self.head(MAP, entries);
    }

    pub(super) fn tag(&mut self, tag: u64) {
        self.head(TAG, tag);
    }

    pub(super) fn null(&mut self) {
        self.0.push(NULL);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nothing is left.
    #[error("it ends too early")]
    End,
    /// Another item than the one that must stand there.
    #[error("something else stands where {0} must stand")]
    Other(&'static str),
    /// A number or length in more bytes than it needs, or of indefinite length.
    #[error("a number is not in its shortest form")]
    NotShortest,
    /// More than one item.
    #[error("there is more behind its end")]
    More,
}

/// Reads items that are known beforehand.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::End)?;
        self.0 = rest;
        Ok(taken)
    }

    fn head(&mut self, major: u8, what: &'static str) -> Result<u64, Malformed> {
        let first = self.take(1)?[0];
        if first >> 5 != major {
            return Err(Malformed::Other(what));
        }
        let (more, least) = match first & 0x1f {
            small if u64::from(small) <= SMALL_MAX => return Ok(u64::from(small)),
            24 => (1, SMALL_MAX + 1),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return Err(Malformed::NotShortest),
        };
        let argument = self.take(more)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if argument < least { Err(Malformed::NotShortest) } else { Ok(argument) }
    }

    fn exactly(&mut self, major: u8, argument: u64, what: &'static str) -> Result<(), Malformed> {
        if self.head(major, what)? == argument { Ok(()) } else { Err(Malformed::Other(what)) }
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, Malformed> {
        self.head(UNSIGNED, "a number")
    }

    pub(super) fn unsigned_of(&mut self, number: u64) -> Result<(), Malformed> {
        self.exactly(UNSIGNED, number, "a certain number")
    }

    /// The number -1 - `argument`.
    pub(super) fn negative_of(&mut self, argument: u64) -> Result<(), Malformed> {
        self.exactly(NEGATIVE, argument, "a certain negative number")
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.head(BYTES, "a byte string")?;
        self.take(usize::try_from(length).map_err(|_| Malformed::End)?)
    }

    pub(super) fn bytes_of<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes()?.try_into().map_err(|_| Malformed::Other("a byte string of a certain length"))
    }

    pub(super) fn array(&mut self, items: u64) -> Result<(), Malformed> {
        self.exactly(ARRAY, items, "a list of a certain length")
    }

    /// A list of 1 to `most` items; how many.
    pub(super) fn array_up_to(&mut self, most: u64) -> Result<u64, Malformed> {
        let items = self.head(ARRAY, "a list")?;
        if (1..=most).contains(&items) { Ok(items) } else { Err(Malformed::Other("a list of some length")) }
    }

    pub(super) fn map(&mut self, entries: u64) -> Result<(), Malformed> {
        self.exactly(MAP, entries, "a map of a certain length")
    }

    pub(super) fn tag(&mut self, tag: u64) -> Result<(), Malformed> {
        self.exactly(TAG, tag, "a certain tag")
    }

    pub(super) fn null(&mut self) -> Result<(), Malformed> {
        if self.take(1)? == [NULL] { Ok(()) } else { Err(Malformed::Other("null")) }
    }

    pub(super) const fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::More) }
    }
}
