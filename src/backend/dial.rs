//! Reaching an endpoint: TCP, and TLS where it has a certificate.

use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::spec::EndpointSpec;
use super::stage::Network;
use super::tls::Connector;

/// How long the kernel may wait for an acknowledgement before it gives the connection up. Without it, calls on a connection whose
/// peer has vanished would run into their deadlines for the quarter of an hour that TCP retries.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// An address with all that is needed to connect to it.
pub(super) struct Target {
    host: String,
    port: u16,
    tls: Option<(Connector, ServerName<'static>)>,
    /// What requests say in `:scheme` and `:authority`.
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) connect_timeout: Duration,
    network: Network,
    /// Whose endpoint it is.
    backend: Arc<str>,
}

/// A connected byte stream.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// To whoever plays the endpoint, in this process.
    Inside(DuplexStream),
}

// === impl Target ===

impl Target {
    /// `tls` is used when the endpoint has a certificate.
    pub(super) fn new(
        endpoint: &EndpointSpec,
        tls: Option<&Connector>,
        server_name: Option<&str>,
        connect_timeout: Duration,
    ) -> Result<Target, String> {
        let host = endpoint.host.trim_start_matches('[').trim_end_matches(']');
        let port = endpoint.port;
        let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let authority = Authority::try_from(authority).map_err(|error| format!("`{host}` is not a host: {error}"))?;
        let tls = match tls.filter(|_| endpoint.tls) {
            Some(connector) => {
                let name = server_name.unwrap_or(host);
                let name = ServerName::try_from(name.to_owned()).map_err(|_| format!("`{name}` cannot be the name on a certificate"))?;
                Some((connector.clone(), name))
            }
            None => None,
        };
        let scheme = if endpoint.tls { Scheme::HTTPS } else { Scheme::HTTP };
        Ok(Target { host: host.to_owned(), port, tls, scheme, authority, connect_timeout, network: Network::default(), backend: "".into() })
    }

    /// The same, as an endpoint of this backend, reached through this network.
    #[must_use]
    pub(super) fn of(self, backend: &Arc<str>, network: &Network) -> Target {
        Target { backend: Arc::clone(backend), network: network.clone(), ..self }
    }

    /// Connects. The time this may take is the caller's to bound.
    pub(super) async fn dial(&self) -> Result<Transport, String> {
        if let Some(inside) = self.network.connect(&self.backend, self.authority.as_str()) {
            return Ok(Transport::Inside(inside));
        }
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
        // Small requests must not wait for the acknowledgement of the one before. Both settings fail only on a socket that is already gone.
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        give_up_in_time(&tcp).map_err(|error| error.to_string())?;
        let Some((connector, name)) = &self.tls else { return Ok(Transport::Plain(tcp)) };
        let tls = connector.tls().connect(name.clone(), tcp).await.map_err(|error| format!("TLS: {error}"))?;
        if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err("TLS: the peer does not offer HTTP/2 (ALPN `h2`)".to_owned());
        }
        Ok(Transport::Tls(Box::new(tls)))
    }
}

#[cfg(target_os = "linux")]
fn give_up_in_time(tcp: &TcpStream) -> std::io::Result<()> {
    socket2::SockRef::from(tcp).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

/// Elsewhere the system's own patience has to do.
#[cfg(not(target_os = "linux"))]
fn give_up_in_time(_: &TcpStream) -> std::io::Result<()> {
    Ok(())
}
