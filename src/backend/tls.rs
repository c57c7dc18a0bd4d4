//! How a backend's certificate is checked, and which one it is shown.
//!
//! Made of files when a table is compiled, where all that can be wrong with them is found, and again whenever they change. Promises: a
//! certificate is never believed because it is hard to check; neither a key nor a certificate is kept as text or shown in a log; a
//! connection that is established keeps what it was established with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::files::{Files, Fingerprint};
use crate::tls;

/// The settings of one backend. Two are equal when they were made of the same files with the same contents.
#[derive(Clone)]
pub struct TlsSpec {
    place: TlsPlace,
    fingerprint: Fingerprint,
    config: Arc<ClientConfig>,
}

/// Which files make them.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct TlsPlace {
    /// The authorities to trust; the system's when there are none.
    pub ca: Option<PathBuf>,
    /// The certificate that the backend is shown, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name on the backend's certificate, when it is not the endpoint's host.
    pub server_name: Option<String>,
}

/// What the files of a place hold.
#[derive(Default)]
pub struct TlsPems {
    pub ca: Option<Vec<u8>>,
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// What is wrong with a backend's TLS settings.
#[derive(Debug)]
pub struct TlsProblem {
    pub part: TlsPart,
    pub what: String,
}

/// Where it is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsPart {
    Authorities,
    Identity,
    ServerName,
}

/// What the endpoints of a backend connect with. Clones are the same, so that all of them see a renewal.
#[derive(Clone)]
pub(super) struct Connector(Arc<ArcSwap<TlsSpec>>);

// === impl TlsSpec ===

impl TlsSpec {
    /// From what the files hold.
    pub fn new(place: TlsPlace, pems: &TlsPems) -> Result<TlsSpec, TlsProblem> {
        if let Some(name) = &place.server_name
            && ServerName::try_from(name.as_str()).is_err()
        {
            return Err(TlsPart::ServerName.problem(format!("`{name}` cannot be the name on a certificate")));
        }
        Ok(TlsSpec { config: client_config(pems)?, fingerprint: pems.fingerprint(), place })
    }

    /// The system's authorities, and no certificate of ours.
    pub fn of_system() -> Result<TlsSpec, TlsProblem> {
        TlsSpec::new(TlsPlace::default(), &TlsPems::default())
    }

    /// What the files hold now, if that is something else. The error says what is wrong with them.
    pub(super) fn renewed(&self, files: &Files) -> Result<Option<TlsSpec>, String> {
        let read = |path: &PathBuf| files.read(path).map_err(|error| format!("{}: {error}", path.display()));
        let ca = self.place.ca.as_ref().map(read).transpose()?;
        let identity = match &self.place.identity {
            Some((cert, key)) => Some((read(cert)?, read(key)?)),
            None => None,
        };
        let pems = TlsPems { ca, identity };
        if pems.fingerprint() == self.fingerprint {
            return Ok(None);
        }
        TlsSpec::new(self.place.clone(), &pems).map(Some).map_err(|problem| problem.what)
    }

    pub fn place(&self) -> &TlsPlace {
        &self.place
    }
}

impl PartialEq for TlsSpec {
    fn eq(&self, other: &TlsSpec) -> bool {
        (&self.place, self.fingerprint) == (&other.place, other.fingerprint)
    }
}

impl Eq for TlsSpec {}

impl fmt::Debug for TlsSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsSpec").field(&self.place).finish()
    }
}

// === impl TlsPlace ===

impl TlsPlace {
    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.ca.iter().chain(self.identity.iter().flat_map(|(cert, key)| [cert, key]))
    }
}

// === impl TlsPart ===

impl TlsPart {
    fn problem(self, what: impl Into<String>) -> TlsProblem {
        TlsProblem { part: self, what: what.into() }
    }
}

// === impl TlsPems ===

impl TlsPems {
    /// Tells what was read from what is read later.
    fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        let identity = self.identity.as_ref().map(|(cert, key)| [cert, key]);
        for part in [self.ca.as_ref()].into_iter().chain(identity.into_iter().flatten().map(Some)) {
            hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
            hash.update(part.map_or(&[][..], |part| part));
        }
        Fingerprint(hash.finalize().into())
    }
}

fn client_config(pems: &TlsPems) -> Result<Arc<ClientConfig>, TlsProblem> {
    let roots = match &pems.ca {
        Some(pem) => tls::authorities(pem).map_err(|problem| TlsPart::Authorities.problem(problem))?,
        None => system_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    let mut config = match &pems.identity {
        Some((cert, key)) => {
            let (chain, key) = identity(cert, key).map_err(|problem| TlsPart::Identity.problem(problem))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| TlsPart::Identity.problem(format!("certificate and key do not work together: {error}")))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn identity(cert: &[u8], key: &[u8]) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    Ok((tls::chain(cert)?, tls::private_key(key)?))
}

fn system_roots() -> Result<RootCertStore, TlsProblem> {
    let roots = tls::native_roots();
    match roots.is_empty() {
        true => Err(TlsPart::Authorities.problem("this system has no certificate authorities; name them in `tls.ca`")),
        false => Ok(roots),
    }
}

// === impl Connector ===

impl Connector {
    pub(super) fn new(spec: TlsSpec) -> Connector {
        Connector(Arc::new(ArcSwap::from_pointee(spec)))
    }

    /// What connects are made with at this time.
    pub(super) fn spec(&self) -> Arc<TlsSpec> {
        self.0.load_full()
    }

    pub(super) fn tls(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.0.load().config))
    }

    /// From now on connections are made with these.
    pub(super) fn renew(&self, spec: TlsSpec) {
        self.0.store(Arc::new(spec));
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, KeyPair};

    use super::*;

    fn pair() -> CertifiedKey<KeyPair> {
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }

    fn made(ca: &str, cert: &str, key: &str) -> Result<TlsSpec, TlsProblem> {
        let place = TlsPlace { ca: Some("ca.pem".into()), identity: Some(("client.pem".into(), "client.key".into())), server_name: None };
        TlsSpec::new(place, &TlsPems { ca: Some(ca.into()), identity: Some((cert.into(), key.into())) })
    }

    #[test]
    fn the_problem_names_the_part_that_is_wrong() {
        let (one, other) = (pair(), pair());
        let (cert, key, foreign) = (one.cert.pem(), one.signing_key.serialize_pem(), other.signing_key.serialize_pem());
        made(&cert, &cert, &key).expect("all is well");
        for (ca, cert, key, part, words) in [
            ("", &*cert, &*key, TlsPart::Authorities, "BEGIN CERTIFICATE"),
            (&*cert, "", &*key, TlsPart::Identity, "BEGIN CERTIFICATE"),
            (&*cert, &*cert, "", TlsPart::Identity, "private key"),
            (&*cert, &*cert, &*foreign, TlsPart::Identity, "do not work together"),
        ] {
            let problem = made(ca, cert, key).expect_err(words);
            assert!(problem.part == part && problem.what.contains(words), "{problem:?}");
        }
        let place = TlsPlace { server_name: Some("no name".to_owned()), ..TlsPlace::default() };
        let problem = TlsSpec::new(place, &TlsPems { ca: Some(cert.into()), identity: None }).expect_err("a name without spaces");
        assert_eq!(problem.part, TlsPart::ServerName);
    }

    #[test]
    fn what_a_log_shows_are_places_alone() {
        let pair = pair();
        let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        let shown = format!("{:?}", made(&cert, &cert, &key).expect("all is well"));
        assert_eq!(shown, r#"TlsSpec(TlsPlace { ca: Some("ca.pem"), identity: Some(("client.pem", "client.key")), server_name: None })"#);
    }

    #[test]
    fn the_same_files_with_other_contents_are_something_else() {
        let (one, other) = (pair(), pair());
        let spec = |ca: &CertifiedKey<KeyPair>| made(&ca.cert.pem(), &one.cert.pem(), &one.signing_key.serialize_pem()).unwrap();
        assert_eq!(spec(&one), spec(&one));
        assert_ne!(spec(&one), spec(&other));
    }
}
