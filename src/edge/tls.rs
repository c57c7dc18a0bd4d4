//! The TLS handshake of a client.
//!
//! Its configuration is part of the table and read anew at each accept, so a renewed certificate is seen by the next connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::socket::Stream;

/// A handshake is two round trips; this leaves room for a phone that changes cells in between.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// The handshake. Nothing if it failed or took too long; there is nobody to tell but the log.
pub async fn accept(config: Arc<ServerConfig>, stream: TcpStream) -> Option<Stream> {
    let handshake = TlsAcceptor::from(config).accept(stream);
    match timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => Some(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}
