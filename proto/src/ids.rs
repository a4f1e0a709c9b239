//! A type for every number, so that a height is never taken for a view.
//!
//! There is deliberately no `From<u64>`: a number becomes one of these where it is read from a checked place.

use core::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The number itself.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The next one.
            ///
            /// # Panics
            /// At `u64::MAX`, which no ledger reaches.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Position of a block in the chain; block 0 is derived from the genesis.
    Height
);
number!(
    /// One leader's turn, counted from 1 in each epoch.
    View
);
number!(
    /// The span of one authority set; the genesis set is epoch 0.
    EpochId
);
number!(
    /// Position of a leaf in the log, from 0.
    LeafIndex
);
number!(
    /// Number of leaves of a log.
    LogSize
);
number!(
    /// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
    TimeMs
);
