//! TLS by rustls with the ring provider: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::ServerError;
use crate::config::TlsFiles;
use crate::files;

/// Reads certificate and key and makes rustls's configuration of them.
pub(super) fn server_config(tls: &TlsFiles) -> Result<Arc<ServerConfig>, ServerError> {
    let pair = |error: rustls::Error| ServerError::Pair {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        reason: error.to_string(),
    };
    let (chain, key) = (certificates(tls)?, private_key(tls)?);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(tls: &TlsFiles) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    let refused = |reason: String| ServerError::Certificate { path: tls.certificate.clone(), reason };
    let text = files::read_text(&tls.certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| refused(error.to_string()))?;
    if chain.is_empty() { Err(refused("none found".into())) } else { Ok(chain) }
}

/// The group may read it: certificate tools share keys with services through a group.
fn private_key(tls: &TlsFiles) -> Result<PrivateKeyDer<'static>, ServerError> {
    let path = &tls.key;
    let file = files::open(path)?;
    let mode = file.metadata().map_err(files::failed("examine", path))?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(ServerError::ExposedKey { path: path.clone() });
    }
    let text = Zeroizing::new(files::read_open(path, &file)?);
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|error| ServerError::PrivateKey { path: path.clone(), reason: error.to_string() })
}
