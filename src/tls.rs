//! The certificates that peers see, from PEM files, and the authorities whose certificates they may show.
//!
//! TLS 1.2 and 1.3 over aws-lc. Clients are spoken to in HTTP/1.1 only, because a WebSocket over HTTP/2 is not offered; services in HTTP/2
//! only. The configuration is part of the table and read anew at each accept, so a renewed certificate is seen by the next connection.
//! `watch` follows all its files in every environment, because certificates are renewed by programs that know nothing of reloads.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore, ServerConfig};

use crate::files::{Files, Fingerprint};

/// What peers see, and where it was read.
#[derive(Clone)]
pub struct Certificate {
    pub place: Place,
    /// Of all its files.
    pub fingerprint: Fingerprint,
    pub config: Arc<ServerConfig>,
}

/// Which files make a certificate, and whom it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub peers: Peers,
}

/// Who comes.
#[derive(Clone, PartialEq, Eq)]
pub enum Peers {
    Clients,
    /// They may show a certificate of this authority.
    Services(Option<Authority>),
}

/// Who signs the certificates of peers.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    pub ca: PathBuf,
    pub without: Without,
}

/// What becomes of a peer that shows no certificate. One that shows a wrong one is always refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Without {
    Refused,
    /// It has to prove itself in another way.
    Taken,
}

/// What the files of a place hold.
pub struct Pems {
    pub cert: Vec<u8>,
    pub key: Vec<u8>,
    pub authority: Option<Vec<u8>>,
}

/// Stands among a request's extensions when its peer has shown a certificate of the authority.
#[derive(Clone, Copy)]
pub struct Certified;

// === impl Certificate ===

impl Certificate {
    /// From what the files hold. The error says what is wrong with which of them.
    pub fn new(place: Place, pems: &Pems) -> Result<Certificate, String> {
        Ok(Certificate { config: server_config(&place.peers, pems)?, fingerprint: pems.fingerprint(), place })
    }

    /// What the files hold now, if that is something else. The error says what is wrong with them.
    pub fn renewed(&self, files: &Files) -> Result<Option<Certificate>, String> {
        let read = |path: &PathBuf| files.read(path).map_err(|error| format!("{}: {error}", path.display()));
        let (cert, key) = (read(&self.place.cert)?, read(&self.place.key)?);
        let pems = Pems { cert, key, authority: self.place.authority().map(|authority| read(&authority.ca)).transpose()? };
        if pems.fingerprint() == self.fingerprint {
            return Ok(None);
        }
        Certificate::new(self.place.clone(), &pems).map(Some)
    }
}

// === impl Place ===

impl Place {
    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert, &self.key].into_iter().chain(self.authority().map(|authority| &authority.ca))
    }

    fn authority(&self) -> Option<&Authority> {
        match &self.peers {
            Peers::Services(authority) => authority.as_ref(),
            Peers::Clients => None,
        }
    }
}

// === impl Pems ===

impl Pems {
    /// Tells what was read from what is read later.
    fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        for part in [&self.cert, &self.key].into_iter().chain(&self.authority) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Fingerprint(hash.finalize().into())
    }
}

/// The authorities in a PEM file. The error says what is wrong with it.
pub fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("the authority is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("the authority cannot be used: {error}"))?;
    }
    if roots.is_empty() { Err("the authority's file holds no `BEGIN CERTIFICATE`".to_owned()) } else { Ok(roots) }
}

/// The certificates in a PEM file, the peer's own first. The error says what is wrong with it.
pub fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match chain.map_err(|error| format!("the certificate is not PEM: {error}"))? {
        empty if empty.is_empty() => Err("the certificate file holds no `BEGIN CERTIFICATE`".to_owned()),
        chain => Ok(chain),
    }
}

/// What is wrong with the dates of a chain's first certificate, by the wall clock. It can be used all the same, and peers will refuse it.
pub fn out_of_date(chain: &[CertificateDer<'static>]) -> Option<&'static str> {
    let (own, rest) = chain.split_first()?;
    let mut roots = RootCertStore::empty();
    roots.add(own.clone()).ok()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    // Dates are looked at first; whatever else a verifier may say is for peers to say.
    match verifier.verify_client_cert(own, rest, UnixTime::now()) {
        Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => Some("has expired"),
        Err(Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. })) => {
            Some("is not valid yet")
        }
        _ => None,
    }
}

/// The private key in a PEM file. The error says what is wrong with it.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("the key file holds no usable private key: {error}"))
}

fn server_config(peers: &Peers, pems: &Pems) -> Result<Arc<ServerConfig>, String> {
    let (chain, key) = (chain(&pems.cert)?, private_key(&pems.key)?);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of TLS 1.2 and 1.3");
    let builder = match (peers, &pems.authority) {
        (Peers::Services(Some(authority)), Some(pem)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(pem)?), provider);
            let verifier = match authority.without {
                Without::Refused => verifier,
                Without::Taken => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| format!("the authority cannot be used: {error}"))?)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| format!("certificate and key do not work together: {error}"))?;
    config.alpn_protocols = match peers {
        Peers::Clients => vec![b"http/1.1".to_vec()],
        Peers::Services(_) => vec![b"h2".to_vec()],
    };
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
    use rcgen::{CertifiedKey, KeyPair};

    use super::*;

    fn pair() -> CertifiedKey<KeyPair> {
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }

    fn made(peers: Peers, cert: &str, key: &str, authority: Option<&str>) -> Result<Certificate, String> {
        let text = |text: &str| text.as_bytes().to_vec();
        let place = Place { cert: "server.pem".into(), key: "server.key".into(), peers };
        Certificate::new(place, &Pems { cert: text(cert), key: text(key), authority: authority.map(text) })
    }

    #[test]
    fn clients_are_offered_http_1_1_and_services_http_2() {
        let pair = pair();
        let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        assert_eq!(made(Peers::Clients, &cert, &key, None).unwrap().config.alpn_protocols, [b"http/1.1"]);
        let authority = Authority { ca: "ca.pem".into(), without: Without::Refused };
        let services = made(Peers::Services(Some(authority)), &cert, &key, Some(&cert)).unwrap();
        assert_eq!(services.config.alpn_protocols, [b"h2"]);
        let files: Vec<String> = services.place.files().map(|file| file.display().to_string()).collect();
        assert_eq!(files, ["server.pem", "server.key", "ca.pem"]);
    }

    #[test]
    fn the_error_names_the_file_that_is_wrong() {
        let (one, other) = (pair(), pair());
        let (cert, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let error = |cert: &str, key: &str| made(Peers::Clients, cert, key, None).map(drop).unwrap_err();
        assert!(error("", &key).contains("BEGIN CERTIFICATE"));
        assert!(error(&cert, "").contains("private key"));
        assert!(error(&cert, &other.signing_key.serialize_pem()).contains("do not work together"));
        assert!(!error(&cert, &cert).contains("BEGIN"));
        assert!(authorities(key.as_bytes()).unwrap_err().contains("BEGIN CERTIFICATE"));
        assert_eq!(authorities(cert.as_bytes()).unwrap().len(), 1);
    }
}
