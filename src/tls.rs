//! The certificate that clients see, from PEM files.
//!
//! TLS 1.2 and 1.3 over aws-lc, HTTP/1.1 only, because a WebSocket over HTTP/2 is not offered. The configuration is part of the table and
//! read anew at each accept, so a renewed certificate is seen by the next connection. `watch` follows both files in every environment,
//! because certificates are renewed by programs that know nothing of reloads.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::files::{Files, Fingerprint};

/// What clients see, and where it was read.
#[derive(Clone)]
pub struct Certificate {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Of both files.
    pub fingerprint: Fingerprint,
    pub config: Arc<ServerConfig>,
}

// === impl Certificate ===

impl Certificate {
    /// What the files hold now, if that is something else. The error says what is wrong with them.
    pub fn renewed(&self, files: &Files) -> Result<Option<Certificate>, String> {
        let read = |path: &PathBuf| files.read(path).map_err(|error| format!("{}: {error}", path.display()));
        let (cert, key) = (read(&self.cert)?, read(&self.key)?);
        let fingerprint = fingerprint(&cert, &key);
        if fingerprint == self.fingerprint {
            return Ok(None);
        }
        Ok(Some(Certificate { fingerprint, config: server_config(&cert, &key)?, ..self.clone() }))
    }
}

/// Tells one pair from another.
pub fn fingerprint(cert_pem: &[u8], key_pem: &[u8]) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update((cert_pem.len() as u64).to_le_bytes());
    hash.update(cert_pem);
    hash.update(key_pem);
    Fingerprint(hash.finalize().into())
}

/// From a certificate chain and its key, both PEM. The error says what is wrong with which of them.
pub fn server_config(cert_pem: &[u8], key_pem: &[u8]) -> Result<Arc<ServerConfig>, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert_pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate is not PEM: {error}"))?;
    if chain.is_empty() {
        return Err("the certificate file holds no `BEGIN CERTIFICATE`".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| format!("the key file holds no usable private key: {error}"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| format!("certificate and key do not work together: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The authorities that this system trusts; systems carry certificates that nobody can use, and those are left out.
pub fn native_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_and_its_key_make_a_config_for_http_1_1() {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let config = server_config(pair.cert.pem().as_bytes(), pair.signing_key.serialize_pem().as_bytes()).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    }

    #[test]
    fn the_error_names_the_half_that_is_wrong() {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        let error = |cert: &str, key: &str| server_config(cert.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(error("", &key).contains("BEGIN CERTIFICATE"));
        assert!(error(&cert, "").contains("private key"));
        assert!(error(&cert, &other.signing_key.serialize_pem()).contains("do not work together"));
        assert!(!error(&cert, &cert).contains("BEGIN"));
    }
}
