//! Where a node listens, told to whoever started it with ports chosen by the system.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::{self, FileError, PUBLIC_FILE};

/// Where a listener really listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Address and port.
    pub socket: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// As a URL, `http://127.0.0.1:4600`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.socket)
    }
}

/// The addresses of a node that runs. That its ports are bound does not mean that it serves: its health says that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressFile {
    /// The public API, as URLs.
    pub api: Vec<String>,
    /// The operators' listener, as a URL.
    pub operator: String,
    /// Where it listens for other nodes: IP and port each.
    #[serde(default)]
    pub network: Vec<String>,
}

impl AddressFile {
    /// The addresses that were bound.
    #[must_use]
    pub fn new(api: &[Address], operator: &Address, network: &[SocketAddr]) -> Self {
        Self {
            api: api.iter().map(ToString::to_string).collect(),
            operator: operator.to_string(),
            network: network.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Writes the addresses as JSON, whole or not at all, in the place of an older file.
///
/// # Errors
/// [`FileError::Io`].
pub fn write_address_file(path: &Path, addresses: &AddressFile) -> Result<(), FileError> {
    let mut text = serde_json::to_string_pretty(addresses).expect("strings always have a JSON form");
    text.push('\n');
    files::replace(path, text.as_bytes(), PUBLIC_FILE)
}

/// Reads what [`write_address_file`] wrote; `None` before the node has bound its ports.
///
/// # Errors
/// [`FileError`] where there is something else.
pub fn read_address_file(path: &Path) -> Result<Option<AddressFile>, FileError> {
    match files::read_text(path) {
        Err(FileError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
        Ok(text) => match serde_json::from_str(&text) {
            Ok(file) => Ok(Some(file)),
            Err(error) => Err(files::failed("understand", path)(error.into())),
        },
    }
}
