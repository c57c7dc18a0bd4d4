//! An endpoint as people and services write it: a URL, and what is said about it.

use http::Uri;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::backend::EndpointSpec;

/// The largest weight. Shares finer than a thousandth are not noticed.
const WEIGHT_MAX: u32 = 1000;

/// The longest name of a zone or a version.
const LABEL_BYTES_MAX: usize = 64;

/// One endpoint. Where it is only a URL, that alone may be written.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct Written {
    pub url: String,
    pub weight: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The longer way to write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    url: String,
    weight: Option<u32>,
    zone: Option<String>,
    version: Option<String>,
}

struct EitherWay;

// === impl Written ===

impl Written {
    pub fn at(url: impl Into<String>) -> Written {
        Written { url: url.into(), weight: 1, zone: None, version: None }
    }

    /// What is meant. The error says what is wrong, for whoever wrote it.
    pub fn read(&self) -> Result<EndpointSpec, String> {
        let (tls, host, port) = place(&self.url).ok_or_else(|| {
            format!("`{}` is no endpoint; write it like `http://10.0.0.5:50051`, or `https://` for TLS", self.url.escape_debug())
        })?;
        if !(1..=WEIGHT_MAX).contains(&self.weight) {
            return Err(format!("the weight {} is not between 1 and {WEIGHT_MAX}", self.weight));
        }
        let is_label = |label: &String| {
            (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'`')
        };
        match [&self.zone, &self.version].into_iter().flatten().find(|label| !is_label(label)) {
            Some(label) => {
                Err(format!("`{}` is no zone or version: those have 1 to {LABEL_BYTES_MAX} visible characters", label.escape_debug()))
            }
            None => {
                let at = EndpointSpec::new(host, port, tls);
                Ok(EndpointSpec { weight: self.weight, zone: self.zone.clone(), version: self.version.clone(), ..at })
            }
        }
    }
}

fn place(url: &str) -> Option<(bool, String, u16)> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    // A path, a query, a user: nothing of it belongs to an endpoint.
    if rest.contains(['/', '?', '#', '@']) {
        return None;
    }
    let uri: Uri = url.parse().ok()?;
    let host = uri.host().filter(|host| !host.is_empty())?.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().filter(|port| *port != 0)?;
    Some((uri.scheme_str() == Some("https"), host.to_owned(), port))
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Written, D::Error> {
        deserializer.deserialize_any(EitherWay)
    }
}

impl<'de> Visitor<'de> for EitherWay {
    type Value = Written;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a URL, or `{ url, weight, zone, version }`")
    }

    fn visit_str<E: Error>(self, url: &str) -> Result<Written, E> {
        checked(Written::at(url))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written, A::Error> {
        let Described { url, weight, zone, version } = Described::deserialize(MapAccessDeserializer::new(map))?;
        checked(Written { url, weight: weight.unwrap_or(1), zone, version })
    }
}

/// Here, so that what reads a file says where in it the mistake is.
fn checked<E: Error>(written: Written) -> Result<Written, E> {
    written.read().map(|_| written).map_err(E::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_how_and_where() {
        for (url, tls, host, port) in [
            ("http://10.0.0.5:50051", false, "10.0.0.5", 50051),
            ("https://game.internal:443", true, "game.internal", 443),
            ("http://[::1]:1", false, "::1", 1),
        ] {
            assert_eq!(Written::at(url).read(), Ok(EndpointSpec::new(host, port, tls)));
        }
        let wrong = ["10.0.0.5:1", "ws://a:1", "http://a", "http://a:0", "http://a:65536", "http://:1", "http://u@a:1", "http://a:1/x", ""];
        for url in wrong {
            assert!(Written::at(url).read().unwrap_err().contains("http://10.0.0.5:50051"), "{url}");
        }
    }

    #[test]
    fn what_is_said_about_it_is_bounded() {
        let at = || Written::at("http://a:1");
        for wrong in [
            Written { weight: 0, ..at() },
            Written { weight: 1001, ..at() },
            Written { zone: Some(String::new()), ..at() },
            Written { zone: Some("a b".to_owned()), ..at() },
            Written { version: Some("v".repeat(65)), ..at() },
        ] {
            wrong.read().unwrap_err();
        }
    }
}
