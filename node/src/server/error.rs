//! What can go wrong with a listener.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::Address;
use crate::config::ListenerConfig;
use crate::files::FileError;

/// A listener cannot be opened, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another program has the port.
    #[error("{address} is in use by another program; stop that one, or write another port under {place}")]
    InUse {
        /// The address.
        address: SocketAddr,
        /// The entry of the configuration.
        place: &'static str,
    },
    /// This machine does not have the address.
    #[error("this machine has no address {}; write one that it has under {place}", address.ip())]
    NoSuchAddress {
        /// The address.
        address: SocketAddr,
        /// The entry of the configuration.
        place: &'static str,
    },
    /// The system does not allow it.
    #[error(
        "the system does not let this user listen on {address}; write a port above 1023 under {place}, or give the \
         service the right to use low ports"
    )]
    NotAllowed {
        /// The address.
        address: SocketAddr,
        /// The entry of the configuration.
        place: &'static str,
    },
    /// Anything else that the system says.
    #[error("cannot listen on {address} ({place}): {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The entry of the configuration.
        place: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or its key cannot be read.
    #[error("TLS: {0}")]
    TlsFile(#[from] FileError),
    /// A certificate file without certificate, or with damaged ones.
    #[error("TLS: {} holds no certificate chain in PEM ({reason}); write the path of one under tls.certificate", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A key file without private key.
    #[error("TLS: {} holds no private key in PEM ({reason}); write the path of one under tls.key", path.display())]
    PrivateKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Everybody on this machine can read the key.
    #[error("TLS: the private key {0} can be read by everybody on this machine; run: chmod o= {0}", path.display())]
    ExposedKey {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key are not a pair, or of a kind that is not known.
    #[error(
        "TLS: the certificate {} and the key {} cannot be used together: {reason}; give the key that the certificate \
         was made for", certificate.display(), key.display()
    )]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A listener ended though nobody stopped it.
    #[error("the listener {address} stopped: {source}")]
    Stopped {
        /// The listener.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// A listener ended without a reason, or panicked.
    #[error("a listener stopped unexpectedly: {reason}")]
    Ended {
        /// What is known.
        reason: String,
    },
}

impl ServerError {
    pub(super) fn bind(config: &ListenerConfig, source: io::Error) -> Self {
        let (address, place) = (config.address, config.place);
        match source.kind() {
            ErrorKind::AddrInUse => Self::InUse { address, place },
            ErrorKind::AddrNotAvailable => Self::NoSuchAddress { address, place },
            ErrorKind::PermissionDenied => Self::NotAllowed { address, place },
            _ => Self::Bind { address, place, source },
        }
    }

    pub(super) fn ended() -> Self {
        Self::Ended { reason: "nobody stopped it".into() }
    }

    pub(super) fn panicked(error: tokio::task::JoinError) -> Self {
        Self::Ended { reason: error.to_string() }
    }
}
