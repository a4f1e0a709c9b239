//! Which release a node runs, as nodes tell each other: three numbers, so that nothing needs to be cleaned for showing.

use std::fmt;

/// A version of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u16,
    minor: u16,
    patch: u16,
}

impl Release {
    /// That of this program. What stands behind the three numbers in the manifest is not told.
    pub const OWN: Self = Self {
        major: number(env!("CARGO_PKG_VERSION_MAJOR")),
        minor: number(env!("CARGO_PKG_VERSION_MINOR")),
        patch: number(env!("CARGO_PKG_VERSION_PATCH")),
    };

    /// As one number: 16 bits each.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.major as u64) << 32 | (self.minor as u64) << 16 | self.patch as u64
    }

    /// What a node said; `None` where it said nothing, as those before 0.1.0 did, or nothing that is a release.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits == 0 || bits >> 48 != 0 {
            return None;
        }
        Some(Self { major: (bits >> 32) as u16, minor: (bits >> 16) as u16, patch: bits as u16 })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

const fn number(text: &str) -> u16 {
    match u16::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("the numbers of a release have 16 bits"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_told_as_a_number() {
        let release = Release { major: 1, minor: 20, patch: 65_535 };
        assert_eq!(Release::from_bits(release.to_bits()), Some(release));
        assert_eq!(release.to_string(), "1.20.65535");
        assert_eq!(Release::from_bits(0), None, "an older one says nothing");
        assert_eq!(Release::from_bits(1 << 48), None);
        assert!(env!("CARGO_PKG_VERSION").starts_with(&Release::OWN.to_string()));
    }
}
