//! Endpoints that come and go: what a source says, and what a backend makes of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::super::cluster::Cluster;
use super::super::discovery::Directory;
use super::super::{Backend, Builtins, EndpointSpec, GrpcSpec, Source, Spec, SpecKind, TlsPems, TlsPlace, TlsSpec};
use super::hostile::answer_empty;
use super::peer::{serve_h2, tcp_service};
use super::{call, open, said};

/// A cluster of one worker that follows this source.
fn follow(source: Source, directory: &Directory, before: Option<&Cluster>) -> Arc<Cluster> {
    let spec = GrpcSpec { source, ..GrpcSpec::at(Vec::new()) };
    let cluster =
        Cluster::open(Arc::from("game"), spec, 1, &Handle::current(), &Default::default(), before).expect("a cluster that can be opened");
    cluster.discover(&Handle::current(), directory);
    cluster
}

fn names(cluster: &Cluster) -> Vec<String> {
    cluster.endpoints().iter().map(|endpoint| endpoint.name().to_string()).collect()
}

/// Waits until these are the endpoints.
async fn becomes(cluster: &Cluster, expected: &[&str]) {
    let patience = Instant::now() + Duration::from_secs(60);
    while names(cluster) != expected {
        assert!(Instant::now() < patience, "{:?} do not become {expected:?}", names(cluster));
        sleep(Duration::from_millis(10)).await;
    }
}

/// What is there stays so, however long one waits.
async fn stays(cluster: &Cluster, expected: &[&str]) {
    sleep(Duration::from_secs(30)).await;
    assert_eq!(names(cluster), expected);
}

fn a_file(text: &str) -> (TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.yaml");
    fs::write(&path, text).unwrap();
    (folder, Source::File(path))
}

fn write(folder: &Path, text: &str) {
    fs::write(folder.join("endpoints.yaml"), text).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_file_is_followed_and_what_stays_in_it_stays_alive() {
    let (folder, source) = a_file("- http://10.0.0.1:1\n");
    let cluster = follow(source, &Directory::default(), None);
    assert_eq!(names(&cluster), ["10.0.0.1:1"], "it is read before the first call");
    let first = Arc::clone(&cluster.endpoints()[0]);
    write(folder.path(), "- http://10.0.0.2:1\n- http://10.0.0.1:1\n");
    becomes(&cluster, &["10.0.0.2:1", "10.0.0.1:1"]).await;
    assert!(Arc::ptr_eq(&first, &cluster.endpoints()[1]));
    write(folder.path(), "[]\n");
    becomes(&cluster, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_broken_or_gone_leaves_the_last_good_endpoints() {
    let (folder, source) = a_file("- http://10.0.0.1:1\n");
    let cluster = follow(source, &Directory::default(), None);
    for broken in ["", "- ftp://10.0.0.2:1\n", "- http://10.0.0.2:1\n- [\n"] {
        write(folder.path(), broken);
        stays(&cluster, &["10.0.0.1:1"]).await;
    }
    fs::remove_file(folder.path().join("endpoints.yaml")).unwrap();
    stays(&cluster, &["10.0.0.1:1"]).await;
    // A pipe is not waited for.
    let pipe = folder.path().join("endpoints.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    stays(&cluster, &["10.0.0.1:1"]).await;
    fs::remove_file(&pipe).unwrap();
    write(folder.path(), "- http://10.0.0.3:1\n");
    becomes(&cluster, &["10.0.0.3:1"]).await;
}

#[tokio::test(start_paused = true)]
async fn registered_endpoints_are_held_against_the_networks_of_their_backend() {
    let directory = Directory::default();
    let source = || Source::Registry { allow: vec!["10.0.0.0/8".parse().unwrap(), "169.254.0.0/16".parse().unwrap()] };
    let cluster = follow(source(), &directory, None);
    assert_eq!(directory.watched(), [Arc::from("game")]);
    let at = |host: &str| EndpointSpec::new(host, 1, false);
    let listed = ["10.0.0.1", "192.168.0.1", "169.254.169.254", "game.svc", "10.0.0.1", "10.0.0.2"].map(at);
    directory.tell("game", listed.to_vec());
    becomes(&cluster, &["10.0.0.1:1", "10.0.0.2:1"]).await;

    // A reload that changes the backend takes over what is there, and hears what comes.
    let next = follow(source(), &directory, Some(&cluster));
    assert_eq!(names(&next), ["10.0.0.1:1", "10.0.0.2:1"]);
    assert!(Arc::ptr_eq(&cluster.endpoints()[0], &next.endpoints()[0]));
    drop(cluster);
    directory.tell("game", vec![at("10.0.0.3")]);
    becomes(&next, &["10.0.0.3:1"]).await;
    directory.tell("game", Vec::new());
    becomes(&next, &[]).await;
    drop(next);
    sleep(Duration::from_secs(1)).await;
    assert!(directory.watched().is_empty(), "what nobody wants to know is forgotten");
}

#[tokio::test]
async fn a_call_waits_until_the_name_is_looked_up() {
    let service = super::peer::tonic_service(None).await;
    let source = Source::Dns { host: "localhost".to_owned(), port: service.port, tls: false, refresh: Duration::from_secs(10) };
    let kind = SpecKind::Grpc(Box::new(GrpcSpec { source, connect_timeout: Duration::from_secs(5), ..GrpcSpec::at(Vec::new()) }));
    let spec = Spec { name: Arc::from("game"), kind };
    let backend = Backend::open(spec, 2, &Builtins::new(Handle::current()), None).unwrap();
    // `localhost` may be ::1 as well, where nobody is: then the call goes to the other.
    assert_eq!(said(call(&backend, "hello").await), "hello");
}

#[tokio::test]
async fn a_certificate_is_held_against_the_name_under_which_the_address_was_found() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let service = tcp_service(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(io) = acceptor.accept(tcp).await {
                serve_h2(io, |_, response| async { answer_empty(response) }).await;
            }
        }
    })
    .await;
    let pems = TlsPems { ca: Some(cert.pem().into_bytes()), identity: None };
    let tls = Some(TlsSpec::new(TlsPlace::default(), &pems).unwrap());
    let source = Source::Dns { host: "localhost".to_owned(), port: service.port, tls: true, refresh: Duration::from_secs(10) };
    let spec = GrpcSpec { source, tls: tls.clone(), connect_timeout: Duration::from_secs(5), ..GrpcSpec::at(Vec::new()) };
    let spec = Spec { name: Arc::from("game"), kind: SpecKind::Grpc(Box::new(spec)) };
    let found = Backend::open(spec, 2, &Builtins::new(Handle::current()), None).unwrap();
    assert_eq!(said(call(&found, "hello").await), "");
    let named = open(vec![EndpointSpec::new("127.0.0.1", service.port, true)], tls);
    assert_eq!(said(call(&named, "hello").await), "UNAVAILABLE UNAVAILABLE");
}
