//! A backend whose certificate is renewed while clients call.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::client::TestClient;
use crate::support::{ECHO, PATIENCE, TestGateway};

/// An echo that shows this certificate to new connections. Another one cuts those that are there.
struct Echo {
    port: u16,
    shows: watch::Sender<Arc<ServerConfig>>,
    task: tokio::task::JoinHandle<()>,
}

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["echo.test".to_owned()]).unwrap()
}

fn server(certificate: &CertifiedKey<KeyPair>) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

async fn serve(tcp: tokio::net::TcpStream, config: Arc<ServerConfig>) {
    let Ok(io) = TlsAcceptor::from(config).accept(tcp).await else { return };
    let Ok(mut connection) = h2::server::handshake(io).await else { return };
    while let Some(Ok((request, mut response))) = connection.accept().await {
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut message = Vec::new();
            while let Some(Ok(chunk)) = body.data().await {
                message.extend_from_slice(&chunk);
            }
            let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let Ok(mut out) = response.send_response(head, false) else { return };
            // An echo's reply is its request.
            let _ = out.send_data(Bytes::from(message), false);
            let ok = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
            let _ = out.send_trailers(HeaderMap::from_iter([ok]));
        });
    }
}

// === impl Echo ===

impl Echo {
    async fn start(certificate: &CertifiedKey<KeyPair>) -> Echo {
        let (shows, shown) = watch::channel(server(certificate));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let mut shown = shown.clone();
                let config = Arc::clone(&shown.borrow_and_update());
                tokio::spawn(async move {
                    tokio::select! {
                        () = serve(tcp, config) => {}
                        _ = shown.changed() => {}
                    }
                });
            }
        });
        Echo { port, shows, task }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn renewed_authorities_of_a_backend_are_believed_even_where_nothing_is_watched() {
    let (first, second) = (certificate(), certificate());
    let echo = Echo::start(&first).await;
    let port = echo.port;
    let backend =
        format!("echo: {{ grpc: {{ endpoints: [\"https://127.0.0.1:{port}\"], tls: {{ ca: ca.pem, server_name: echo.test }} }} }}");
    let gateway = TestGateway::start_with(&[
        ("routes/gateway.yaml", "version: 1\nreload: { watch: false, debounce: 50ms }\n"),
        ("routes/routes.yaml", &ECHO.replace("echo: { builtin: echo }", &backend)),
        ("routes/ca.pem", &first.cert.pem()),
    ]);
    let mut client = TestClient::connect(gateway.edge()).await;
    assert_eq!(client.echo(9001, "hi").await, "hi");

    // The backend is ahead of the file: what it shows is not believed.
    echo.shows.send_replace(server(&second));
    let deadline = Instant::now() + PATIENCE;
    while client.call(9001, json!({ "text": "hi" })).await["status"]["reason"] != "UNAVAILABLE" {
        assert!(Instant::now() < deadline, "another certificate is believed");
    }
    gateway.write("routes/ca.pem", &second.cert.pem());
    while client.call(9001, json!({ "text": "hi" })).await["payload"]["text"] != "hi" {
        assert!(Instant::now() < deadline, "the file was not read again");
        // Not to synchronise: only so that asking does not keep both processors busy.
        sleep(Duration::from_millis(100)).await;
    }

    // A file that cannot be used changes nothing.
    gateway.write("routes/ca.pem", "nonsense");
    gateway.gateway().renew_certificates();
    assert_eq!(client.echo(9001, "still here").await, "still here");
}
