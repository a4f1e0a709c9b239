//! Where a node serves, told to whoever started it with ports chosen by the system.

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

/// The addresses of a node that serves, as URLs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressFile {
    /// The public API.
    pub api: Vec<String>,
    /// The operators' listener.
    pub operator: String,
}

/// Writes the addresses as JSON, whole or not at all, in the place of an older file.
///
/// # Errors
/// [`FileError::Io`].
pub fn write_address_file(path: &Path, api: &[Address], operator: &Address) -> Result<(), FileError> {
    let file =
        AddressFile { api: api.iter().map(ToString::to_string).collect(), operator: operator.to_string() };
    let mut text = serde_json::to_string_pretty(&file).expect("strings always have a JSON form");
    text.push('\n');
    files::replace(path, text.as_bytes(), PUBLIC_FILE)
}

/// Reads what [`write_address_file`] wrote; `None` while the node does not serve yet.
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
