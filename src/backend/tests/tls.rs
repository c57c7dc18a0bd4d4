//! Conversations with services that have certificates, and ask for ours.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::peer::{Service, answer, serve_h2, tcp_service};
use super::{call, said};
use crate::backend::{Backend, Builtins, EndpointSpec, GrpcSpec, Spec, SpecKind, TlsPems, TlsPlace, TlsSpec};
use crate::files::Files;

const NAME: &str = "echo.test";

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A service whose certificate can be changed, for connections to come; and whose connections can be cut.
struct Secure {
    service: Service,
    config: watch::Sender<Arc<ServerConfig>>,
    cut: watch::Sender<()>,
    connections: Arc<AtomicUsize>,
}

/// The files of a backend.
struct Folder(TempDir);

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn signed_by(authority: &Authority) -> CertifiedKey<KeyPair> {
    let signing_key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([NAME.to_owned()]).expect("a name");
    CertifiedKey { cert: params.signed_by(&signing_key, authority).expect("a certificate"), signing_key }
}

/// A server's settings: its certificate, whose certificates it asks for, and what it speaks.
fn settings(own: &CertifiedKey<KeyPair>, asks_for: Option<&Authority>, protocols: &[&[u8]]) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().expect("versions");
    let builder = match asks_for {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let mut config = builder.with_single_cert(vec![own.cert.der().clone()], key).expect("a certificate and its key");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

fn open(port: u16, tls: TlsSpec, before: Option<&Backend>) -> Arc<Backend> {
    let endpoints = vec![EndpointSpec::new("127.0.0.1", port, true)];
    let kind = SpecKind::Grpc(Box::new(GrpcSpec { tls: Some(tls), ..GrpcSpec::at(endpoints) }));
    let builtins = Builtins::new(tokio::runtime::Handle::current());
    Backend::open(Spec { name: Arc::from("test"), kind }, 2, &builtins, before).expect("a backend that can be opened")
}

/// Why a call did not even begin.
async fn cause(backend: &Backend) -> String {
    let failure = call(backend, "hello").await.expect_err("there is no connection");
    assert!(failure.is_unsent() && failure.reason() == "UNAVAILABLE", "{failure}");
    failure.cause().unwrap_or_default().to_owned()
}

// === impl Secure ===

impl Secure {
    async fn new(config: Arc<ServerConfig>) -> Secure {
        let (config, current) = watch::channel(config);
        let (cut, is_cut) = watch::channel(());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let service = tcp_service(move |tcp| {
            let acceptor = TlsAcceptor::from(Arc::clone(&current.borrow()));
            let (count, mut is_cut) = (Arc::clone(&count), is_cut.clone());
            is_cut.mark_unchanged();
            async move {
                let Ok(io) = acceptor.accept(tcp).await else { return };
                count.fetch_add(1, Ordering::SeqCst);
                tokio::select! {
                    () = serve_h2(io, |_, response| async { answer(response, &[], "0") }) => {}
                    _ = is_cut.changed() => {}
                }
            }
        })
        .await;
        Secure { service, config, cut, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

// === impl Folder ===

impl Folder {
    fn new(ca: &Authority, own: Option<&CertifiedKey<KeyPair>>) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        folder.write(ca, own);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, ca: &Authority, own: Option<&CertifiedKey<KeyPair>>) {
        let write = |name, text| std::fs::write(self.path(name), text).expect("a file");
        write("ca.pem", ca.pem());
        if let Some(own) = own {
            write("client.pem", own.cert.pem());
            write("client.key", own.signing_key.serialize_pem());
        }
    }

    /// What the files say now.
    fn spec(&self, name: Option<&str>) -> TlsSpec {
        let read = |name| std::fs::read(self.path(name)).ok();
        let identity = read("client.pem").zip(read("client.key"));
        let place = TlsPlace {
            ca: Some(self.path("ca.pem")),
            identity: identity.as_ref().map(|_| (self.path("client.pem"), self.path("client.key"))),
            server_name: name.map(str::to_owned),
        };
        TlsSpec::new(place, &TlsPems { ca: read("ca.pem"), identity }).expect("files that can be used")
    }
}

#[tokio::test]
async fn a_certificate_is_checked() {
    let (authority, stranger) = (authority(), authority());
    let service = Secure::new(settings(&signed_by(&authority), None, &[b"h2"])).await;
    let port = service.service.port;
    let (trusted, other) = (Folder::new(&authority, None), Folder::new(&stranger, None));
    assert_eq!(said(call(&open(port, trusted.spec(Some(NAME)), None), "hello").await), "");

    let system = TlsPlace { server_name: Some(NAME.to_owned()), ..TlsPlace::default() };
    let mut wrong = vec![trusted.spec(None), trusted.spec(Some("other.test")), other.spec(Some(NAME))];
    wrong.extend(TlsSpec::new(system, &TlsPems::default()));
    for tls in wrong {
        let cause = cause(&open(port, tls, None)).await;
        assert!(cause.starts_with("TLS: ") && cause.contains("certificate"), "{cause}");
    }

    service.config.send_replace(settings(&signed_by(&authority), None, &[]));
    let cause = cause(&open(port, trusted.spec(Some(NAME)), None)).await;
    assert!(cause.contains("HTTP/2"), "{cause}");
}

#[tokio::test]
async fn a_service_that_asks_for_a_certificate_is_shown_ours() {
    let (authority, stranger) = (authority(), authority());
    let service = Secure::new(settings(&signed_by(&authority), Some(&authority), &[b"h2"])).await;
    let backend = |own: Option<&CertifiedKey<KeyPair>>| open(service.service.port, Folder::new(&authority, own).spec(Some(NAME)), None);
    assert_eq!(said(call(&backend(Some(&signed_by(&authority))), "hello").await), "");
    for (own, words) in [(None, "CertificateRequired"), (Some(signed_by(&stranger)), "alert")] {
        let cause = cause(&backend(own.as_ref())).await;
        assert!(cause.contains(words), "{cause}");
    }
}

#[tokio::test]
async fn renewed_files_are_used_by_new_connections_and_no_call_fails() {
    let (old, new) = (authority(), authority());
    let service = Secure::new(settings(&signed_by(&old), Some(&old), &[b"h2"])).await;
    let folder = Folder::new(&old, Some(&signed_by(&old)));
    let backend = open(service.service.port, folder.spec(Some(NAME)), None);
    let files = Files::on_disk();
    assert_eq!(said(call(&backend, "hello").await), "");
    assert_eq!(backend.renew_certificates(&files), Ok(false), "nothing has changed");

    service.config.send_replace(settings(&signed_by(&new), Some(&new), &[b"h2"]));
    folder.write(&new, Some(&signed_by(&new)));
    assert_eq!(backend.renew_certificates(&files), Ok(true));
    assert_eq!(said(call(&backend, "hello").await), "");
    assert_eq!(service.connections(), 1, "the old connection is still good");
    service.cut.send_replace(());
    let back = async {
        while service.connections() < 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), back).await.expect("it is back, by the new files");
    assert_eq!(said(call(&backend, "hello").await), "");

    std::fs::write(folder.path("client.key"), "half").expect("a file");
    assert!(backend.renew_certificates(&files).expect_err("no key").contains("private key"));
    assert_eq!(said(call(&backend, "hello").await), "");
}

#[tokio::test]
async fn a_reload_with_other_contents_keeps_connections_and_renews_what_is_to_come() {
    let (old, new) = (authority(), authority());
    let service = Secure::new(settings(&signed_by(&old), None, &[b"h2"])).await;
    let port = service.service.port;
    let folder = Folder::new(&old, None);
    let first = open(port, folder.spec(Some(NAME)), None);
    assert_eq!(said(call(&first, "hello").await), "");

    service.config.send_replace(settings(&signed_by(&new), None, &[b"h2"]));
    folder.write(&new, None);
    assert_ne!(*first.spec(), *open(port, folder.spec(Some(NAME)), None).spec());
    let second = open(port, folder.spec(Some(NAME)), Some(&first));
    assert_eq!(said(call(&second, "hello").await), "");
    assert_eq!(service.connections(), 1);
    assert!(second.is(second.spec()));

    // Renewed behind its back, it is no longer as its spec says, and a reload of the old files makes it so again.
    folder.write(&old, None);
    assert_eq!(second.renew_certificates(&Files::on_disk()), Ok(true));
    assert!(!second.is(second.spec()));
}
