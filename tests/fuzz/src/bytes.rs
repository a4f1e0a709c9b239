//! Decisions taken from the fuzzer's bytes, one after the other.

use std::sync::Arc;

/// Bytes, and how far they are used up. Once they are, every decision is 0.
#[derive(Clone, Debug)]
pub struct Bytes {
    bytes: Arc<[u8]>,
    at: usize,
}

impl Bytes {
    /// From the fuzzer.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), at: 0 }
    }

    /// Whether all are used.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        byte
    }

    /// A number below `n`, which is at least 1; from one byte where that is enough, else from eight.
    pub fn below(&mut self, n: u64) -> u64 {
        let taken = if n <= 256 { 1 } else { 8 };
        let number = (0..taken).fold(0, |number, _| number << 8 | u64::from(self.byte()));
        number % n
    }

    /// True in about so many cases of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
