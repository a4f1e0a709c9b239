//! Key files: one secret key, what it is for, and the public half to compare.
//!
//! Only the text is defined here; reading and writing it, with mode 0600, is the programs' part.

use alloc::{
    format,
    string::{String, ToString},
};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{Hash, LedgerId, SecretKey, names::is_slug};

/// Longest key file, in bytes; comments may be added to one.
pub const KEY_FILE_MAX: usize = 64 * 1024;

/// What a key signs. A key is used for one purpose only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPurpose {
    /// An issuer's batches.
    Issuer,
    /// An authority's votes and proposals.
    Consensus,
    /// An authority's C2SP cosignature/v1 lines.
    Cosigner,
    /// An authority's C2SP log lines.
    Log,
    /// Batches of the authorities; kept offline.
    Governance,
    /// libp2p identity of an authority's node or of an observer.
    Network,
}

impl KeyPurpose {
    /// The five keys of an authority.
    pub const AUTHORITY: [Self; 5] =
        [Self::Consensus, Self::Cosigner, Self::Log, Self::Governance, Self::Network];

    /// The word in the file, and the file's name without `.key`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Consensus => "consensus",
            Self::Cosigner => "cosigner",
            Self::Log => "log",
            Self::Governance => "governance",
            Self::Network => "network",
        }
    }
}

/// A secret key with its purpose and owner.
#[derive(Clone, Debug)]
pub struct KeyFile {
    /// What it signs.
    pub purpose: KeyPurpose,
    /// Slug of the issuer, authority or observer it belongs to.
    pub owner: String,
    /// The ledger it is for, where that is settled.
    pub ledger: Option<LedgerId>,
    /// The key.
    pub key: SecretKey,
}

/// Why a text is no key file. Never shows what stands in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Not the TOML of a key file.
    #[error("this is not a Markstein key file")]
    Malformed,
    /// Another purpose than called for.
    #[error("this key file holds a key of purpose {found}, needed is one of purpose {want}")]
    WrongPurpose {
        /// Needed.
        want: &'static str,
        /// Found.
        found: &'static str,
    },
    /// The owner is no slug, so of nobody.
    #[error(
        "the owner in this key file is not the id of an issuer or authority, nor the name of an observer"
    )]
    Owner,
    /// The public key is not that of the secret key.
    #[error("the public key in this key file does not belong to its secret key: the file is damaged")]
    Mismatch,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    purpose: String,
    owner: String,
    ledger: Option<String>,
    public_key: String,
    secret_key: String,
}

impl Drop for Text {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.secret_key);
    }
}

impl KeyFile {
    /// Reads a key file and checks its purpose.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn parse(text: &str, want: KeyPurpose) -> Result<Self, KeyFileError> {
        if text.len() > KEY_FILE_MAX {
            return Err(KeyFileError::Malformed);
        }
        let text: Text = toml::from_str(text).map_err(|_| KeyFileError::Malformed)?;
        let purpose = [KeyPurpose::Issuer]
            .into_iter()
            .chain(KeyPurpose::AUTHORITY)
            .find(|p| p.as_str() == text.purpose)
            .ok_or(KeyFileError::Malformed)?;
        if purpose != want {
            return Err(KeyFileError::WrongPurpose { want: want.as_str(), found: purpose.as_str() });
        }
        if !is_slug(&text.owner) {
            return Err(KeyFileError::Owner);
        }
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(&text.secret_key, seed.as_mut()).map_err(|_| KeyFileError::Malformed)?;
        let key = SecretKey::from_seed(&seed);
        if hex::encode(key.public().to_bytes()) != text.public_key {
            return Err(KeyFileError::Mismatch);
        }
        let ledger = text.ledger.as_deref().map(parse_ledger).transpose()?;
        Ok(Self { purpose, owner: text.owner.clone(), ledger, key })
    }

    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut digits = Zeroizing::new([0; 64]);
        hex::encode_to_slice(self.key.seed().as_ref(), digits.as_mut()).expect("64 digits hold 32 bytes");
        let secret = core::str::from_utf8(digits.as_ref()).expect("hex digits are ASCII");
        let ledger = self.ledger.map(|id| format!("ledger = \"{id}\"\n")).unwrap_or_default();
        Zeroizing::new(format!(
            "# Secret {purpose} key of {owner}. Whoever has this file can sign in its name.\n\
             # Keep it readable for its owner only (mode 0600) and never send it.\n\
             purpose = \"{purpose}\"\nowner = \"{owner}\"\n{ledger}\
             public_key = \"{public}\"\nsecret_key = \"{secret}\"\n",
            purpose = self.purpose.as_str(),
            owner = self.owner,
            public = hex::encode(self.key.public().to_bytes()),
        ))
    }
}

fn parse_ledger(text: &str) -> Result<LedgerId, KeyFileError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyFileError::Malformed)?;
    let id = LedgerId(Hash(bytes));
    if id.to_string() == text { Ok(id) } else { Err(KeyFileError::Malformed) }
}
