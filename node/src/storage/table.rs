//! What a table is: a name, a key, a value, and bytes for both that sort as they count.
//!
//! Decoders are total: any bytes give a value or `None`, and only the bytes the encoder writes give a value. So a
//! damaged entry is noticed where it is read and never passed on as something it is not.

use markstein_proto::{EpochId, Hash, Height, LeafIndex, LogSize, TimeMs, View, status::Status};

/// One table of the store; its entries sort by the bytes of their keys.
pub trait Table: 'static {
    /// Name of the table, the same in every backend.
    const NAME: &'static str;
    /// How many entries a range reads at a time: few where values are large.
    const PAGE: usize;
    /// What entries are found by.
    type Key: KeyCodec;
    /// What they hold.
    type Value: ValueCodec;
}

/// Bytes of a key. Numbers are big-endian, so that the order of the bytes is the order of the numbers.
pub trait KeyCodec: Sized {
    /// The key as bytes.
    fn encode_key(&self) -> Vec<u8>;
    /// The key these bytes stand for; `None` if the encoder never writes them.
    fn decode_key(bytes: &[u8]) -> Option<Self>;
}

/// Bytes of a value.
pub trait ValueCodec: Sized {
    /// The value as bytes.
    fn encode_value(&self) -> Vec<u8>;
    /// The value these bytes stand for; `None` if the encoder never writes them.
    fn decode_value(bytes: &[u8]) -> Option<Self>;
}

/// A type whose bytes have one length, whatever its value: usable as key, as value, and as part of either.
pub trait Fixed: Sized {
    /// Length in bytes.
    const LEN: usize;
    /// Appends exactly `LEN` bytes.
    fn put(&self, out: &mut Vec<u8>);
    /// Takes `LEN` bytes off the front; `None` if they are too few or stand for nothing.
    fn take(bytes: &mut &[u8]) -> Option<Self>;
}

fn fixed_to_bytes<T: Fixed>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(T::LEN);
    value.put(&mut out);
    assert_eq!(out.len(), T::LEN, "a fixed layout has one length");
    out
}

fn fixed_from_bytes<T: Fixed>(mut bytes: &[u8]) -> Option<T> {
    let value = T::take(&mut bytes)?;
    bytes.is_empty().then_some(value)
}

impl<T: Fixed> KeyCodec for T {
    fn encode_key(&self) -> Vec<u8> {
        fixed_to_bytes(self)
    }

    fn decode_key(bytes: &[u8]) -> Option<Self> {
        fixed_from_bytes(bytes)
    }
}

impl<T: Fixed> ValueCodec for T {
    fn encode_value(&self) -> Vec<u8> {
        fixed_to_bytes(self)
    }

    fn decode_value(bytes: &[u8]) -> Option<Self> {
        fixed_from_bytes(bytes)
    }
}

impl KeyCodec for Vec<u8> {
    fn encode_key(&self) -> Vec<u8> {
        self.clone()
    }

    fn decode_key(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

impl ValueCodec for Vec<u8> {
    fn encode_value(&self) -> Vec<u8> {
        self.clone()
    }

    fn decode_value(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

impl KeyCodec for String {
    fn encode_key(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn decode_key(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

impl ValueCodec for String {
    fn encode_value(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn decode_value(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

impl<const N: usize> Fixed for [u8; N] {
    const LEN: usize = N;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<N>()?;
        *bytes = rest;
        Some(*head)
    }
}

impl Fixed for () {
    const LEN: usize = 0;

    fn put(&self, _: &mut Vec<u8>) {}

    fn take(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

impl Fixed for Status {
    const LEN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.bits());
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let bits = u8::take(bytes)?;
        let status = Self::from_bits(bits);
        (status.bits() == bits).then_some(status)
    }
}

impl Fixed for Hash {
    const LEN: usize = 32;

    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        <[u8; 32]>::take(bytes).map(Self)
    }
}

impl<A: Fixed, B: Fixed> Fixed for (A, B) {
    const LEN: usize = A::LEN + B::LEN;

    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::take(bytes)?, B::take(bytes)?))
    }
}

/// Big-endian machine numbers.
macro_rules! fixed_integer {
    ($($type:ty),*) => {$(
        impl Fixed for $type {
            const LEN: usize = size_of::<$type>();

            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                Fixed::take(bytes).map(<$type>::from_be_bytes)
            }
        }
    )*};
}

/// The ledger's own numbers, each eight bytes.
macro_rules! fixed_number {
    ($($type:ident),*) => {$(
        impl Fixed for $type {
            const LEN: usize = 8;

            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                u64::take(bytes).map(Self)
            }
        }
    )*};
}

/// A struct as the concatenation of its fields, in the order they are named here.
macro_rules! fixed_struct {
    ($type:ident { $($field:ident: $field_type:ty),* $(,)? }) => {
        impl $crate::storage::Fixed for $type {
            const LEN: usize = 0 $(+ <$field_type as $crate::storage::Fixed>::LEN)*;

            fn put(&self, out: &mut Vec<u8>) {
                $($crate::storage::Fixed::put(&self.$field, out);)*
            }

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: <$field_type as $crate::storage::Fixed>::take(bytes)?),* })
            }
        }
    };
}
pub(crate) use fixed_struct;

fixed_integer!(u8, u16, u32, u64);
fixed_number!(Height, View, EpochId, LeafIndex, LogSize, TimeMs);
