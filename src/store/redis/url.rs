//! Where a Redis is: `redis://user:password@host:port/database`, or `rediss://` for TLS.

use std::fmt;

use bb8_redis::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError};

/// A sound URL. It may hold a password: it has no `Debug`, and shown it is host and port.
#[derive(Clone)]
pub struct RedisUrl {
    text: String,
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// User, password and database, as the handshake wants them.
    pub(super) handshake: RedisConnectionInfo,
}

// === impl RedisUrl ===

impl RedisUrl {
    /// Why it is not one, without quoting it.
    pub fn parse(text: &str) -> Result<RedisUrl, String> {
        let (tls, rest) = match text.split_once("://") {
            Some(("redis", rest)) => (false, rest),
            Some(("rediss", rest)) => (true, rest),
            Some(_) => return Err("neither `redis` nor `rediss`".to_owned()),
            None => return Err("no `redis://` before the host".to_owned()),
        };
        if rest.contains(['?', '#']) {
            return Err("something follows the database".to_owned());
        }
        // The library knows `rediss` only together with its own TLS, which is not the one this program uses.
        let info: ConnectionInfo = format!("redis://{rest}").into_connection_info().map_err(|error| plain(&error))?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return Err("no host".to_owned()) };
        if host.is_empty() || *port == 0 {
            return Err("no host and port to connect to".to_owned());
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(RedisUrl { text: text.to_owned(), tls, host, port: *port, handshake: info.redis_settings().clone() })
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &RedisUrl) -> bool {
        self.text == other.text
    }
}

impl Eq for RedisUrl {}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// What the library says; it does not quote the URL.
fn plain(error: &RedisError) -> String {
    let text = error.to_string();
    // Behind it stands its own name for this kind of error.
    text.split(" - ").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_password_and_database_are_taken_and_not_shown() {
        let url = RedisUrl::parse("rediss://anna:s%3Acret@cache.internal:6390/3").ok().unwrap();
        assert_eq!((url.tls, url.host.as_str(), url.port), (true, "cache.internal", 6390));
        assert_eq!((url.handshake.username(), url.handshake.password(), url.handshake.db()), (Some("anna"), Some("s:cret"), 3));
        assert_eq!(url.to_string(), "cache.internal:6390");
        let plain = RedisUrl::parse("redis://[::1]").ok().unwrap();
        assert_eq!((plain.to_string(), plain.handshake.password()), ("[::1]:6379".to_owned(), None));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for wrong in [
            "",
            "localhost:6379",
            "http://:s3cret@localhost",
            "redis://:s3cret@",
            "redis://:s3cret@localhost/x",
            "redis://:s3cret@localhost:99999",
            "redis://:s3cret@localhost?protocol=9",
            "redis://:s3cret@local host",
            "redis://:s3cret@localhost:0",
            "redis://:s3%ffcret@localhost",
        ] {
            let Err(why) = RedisUrl::parse(wrong) else { panic!("`{wrong}` is not one") };
            assert!(!why.contains("s3cret") && !why.is_empty(), "{wrong}: {why}");
        }
    }
}
