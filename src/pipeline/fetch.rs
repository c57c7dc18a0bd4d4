//! Fetching a key set: one GET with bounds.
//!
//! Promises: no redirect is followed, so that nothing but the configured URL is ever asked; at most [`BODY_BYTES_MAX`] are read; what the
//! server says about how long the answer is good counts within [`Freshness`]'s bounds.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, ETAG, IF_NONE_MATCH, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::spawn_blocking;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::key_set::Source;
use crate::tls;

/// The largest key set. Real ones have a few kilobytes.
const BODY_BYTES_MAX: usize = 256 << 10;

/// How long an answer is good at least and at most, and where nothing is said.
const LASTS_MIN: Duration = Duration::from_secs(30);
const LASTS_MAX: Duration = Duration::from_secs(24 * 3600);
const LASTS: Duration = Duration::from_secs(300);

/// What the server said.
pub enum Answer {
    New {
        body: Vec<u8>,
        /// By which to ask whether it has changed.
        tag: Option<String>,
        freshness: Freshness,
    },
    /// What it said before.
    Same(Freshness),
}

/// How long an answer is good.
pub struct Freshness(Option<Duration>);

/// A key set on a server.
pub struct Server {
    url: String,
    /// Made when it is first needed: it reads the system's certificates.
    client: Option<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>>,
}

// === impl Freshness ===

impl Freshness {
    pub fn new(stated: Option<Duration>) -> Freshness {
        Freshness(stated)
    }

    /// What is stated, within bounds.
    pub fn lasts(&self) -> Duration {
        self.0.unwrap_or(LASTS).clamp(LASTS_MIN, LASTS_MAX)
    }

    fn of(headers: &HeaderMap) -> Freshness {
        let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
        let words: Vec<String> = lines.flat_map(|line| line.split(',')).map(|word| word.trim().to_ascii_lowercase()).collect();
        if words.iter().any(|word| word == "no-store" || word == "no-cache") {
            return Freshness(Some(Duration::ZERO));
        }
        let seconds = words.iter().find_map(|word| word.strip_prefix("max-age=")?.parse().ok());
        Freshness(seconds.map(Duration::from_secs))
    }
}

// === impl Server ===

impl Server {
    pub fn new(url: &str) -> Server {
        Server { url: url.to_owned(), client: None }
    }

    async fn client(&mut self) -> Result<&Client<HttpsConnector<HttpConnector>, Empty<Bytes>>, String> {
        if self.client.is_none() {
            let mut roots = RootCertStore::empty();
            if self.url.starts_with("https:") {
                roots = spawn_blocking(tls::native_roots).await.map_err(|error| error.to_string())?;
                if roots.is_empty() {
                    return Err("this system has no certificate authorities; name them in `SSL_CERT_FILE`".to_owned());
                }
            }
            let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions();
            let tls = tls.expect("the library's own versions are supported").with_root_certificates(roots).with_no_client_auth();
            let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
            // Minutes pass between two questions; a connection would only wait to be closed.
            self.client = Some(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector));
        }
        Ok(self.client.as_ref().expect("made above"))
    }
}

impl Source for Server {
    async fn get(&mut self, tag: Option<&str>) -> Result<Answer, String> {
        let mut request = Request::get(&self.url).header(ACCEPT, "application/json");
        request = request.header(USER_AGENT, concat!("protogate/", env!("CARGO_PKG_VERSION")));
        if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(tag).ok()) {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let (head, body) = self.client().await?.request(request).await.map_err(|error| told(&error))?.into_parts();
        let freshness = Freshness::of(&head.headers);
        match head.status {
            StatusCode::OK => {
                let tag = head.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
                let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| told(&*error))?;
                Ok(Answer::New { body: body.to_bytes().to_vec(), tag, freshness })
            }
            StatusCode::NOT_MODIFIED if tag.is_some() => Ok(Answer::Same(freshness)),
            status if head.headers.contains_key(LOCATION) => Err(format!("it answered {status}; redirects are not followed")),
            status => Err(format!("it answered {status}")),
        }
    }
}

/// An error with what caused it, since the outermost says little.
fn told(error: &(dyn Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_about_time_counts_within_bounds() {
        let lasts = |lines: &[&'static str]| {
            let headers = lines.iter().map(|line| (CACHE_CONTROL, HeaderValue::from_static(line)));
            Freshness::of(&headers.collect::<HeaderMap>()).lasts().as_secs()
        };
        assert_eq!(lasts(&[]), 300);
        assert_eq!(lasts(&["public, Max-Age=3600"]), 3600);
        assert_eq!(lasts(&["public", "max-age=61"]), 61);
        assert_eq!(lasts(&["max-age=0"]), 30);
        assert_eq!(lasts(&["no-store, max-age=3600"]), 30);
        assert_eq!(lasts(&["max-age=99999999"]), 86_400);
        assert_eq!(lasts(&["max-age=99999999999999999999999"]), 300);
        assert_eq!(lasts(&["max-age=-1"]), 300);
    }
}
