//! Addresses, networks and origins.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::{Problem, Value};

/// Where to listen: an IP address or `localhost`, and a port. Names are refused, because a listener must not depend on DNS.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Address(pub SocketAddr);

/// The path of a URL: `/ws`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UrlPath(String);

/// Where a gRPC service listens: `http://host:port`, or `https://` for TLS.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EndpointUrl {
    pub tls: bool,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

/// The name of a host, or its address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostName(String);

/// The URL of a WebSocket: `wss://play.example/ws`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SocketUrl(String);

/// A network, or one address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cidr(pub IpNet);

/// A web origin as browsers send it: `https://example.com`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Origin(String);

/// From 0 to 65535.
macro_rules! port_pattern {
    () => {
        "0*(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5]?[0-9]{1,4})"
    };
}

/// An IPv4 address; or labels, of which the last is no number; or an IPv6 address in brackets. Behind it is a port, or nothing.
macro_rules! host_pattern {
    () => {
        concat!(
            r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}",
            r"|(?!([^:/]*\.)?[0-9]+\.?(:|$))[A-Za-z0-9_]([A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?)*\.?",
            r"|\[[0-9a-fA-F:.]+\])"
        )
    };
}

// === impl Address ===

impl Value for Address {
    const WHAT: &'static str = "an address to listen on";
    const EXAMPLE: &'static str = "`127.0.0.1:7080`, `0.0.0.0:7080` or `[::1]:7080`";
    const PATTERN: &'static str = concat!(r"(localhost|[0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.%]+\]):", port_pattern!());

    fn parse(text: &str) -> Result<Address, Problem> {
        if let Ok(address) = text.parse() {
            return Ok(Address(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| Problem::new("no port"))?;
        let port = parse_port(port)?;
        match host {
            "localhost" => Ok(Address(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))),
            "" | "*" => Err(Problem::new("no address").help(format!("to listen on every address write `0.0.0.0:{port}`"))),
            _ if host.parse::<Ipv6Addr>().is_ok() => Err(Problem::new("an IPv6 address without brackets").help("write `[address]:port`")),
            _ => Err(Problem::new("neither an IP address nor `localhost`")),
        }
    }
}

// === impl UrlPath ===

impl UrlPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for UrlPath {
    const WHAT: &'static str = "the path of a URL";
    const EXAMPLE: &'static str = "`/ws`";
    const PATTERN: &'static str = r"/[A-Za-z0-9._~!$&'()*+,;=:@/\-]*";

    fn parse(text: &str) -> Result<UrlPath, Problem> {
        if !text.starts_with('/') {
            return Err(Problem::new("does not begin with `/`"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)) {
            return Err(Problem::new("contains something that a path cannot, such as a space, `?`, `#` or `%`"));
        }
        Ok(UrlPath(text.to_owned()))
    }
}

// === impl EndpointUrl ===

impl Value for EndpointUrl {
    const WHAT: &'static str = "the URL of an endpoint";
    const EXAMPLE: &'static str = "`http://127.0.0.1:50051` or `https://game.internal:443`";
    const PATTERN: &'static str = concat!(r"(?!.*:0+$)https?://", host_pattern!(), ":", port_pattern!());

    fn parse(text: &str) -> Result<EndpointUrl, Problem> {
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(Problem::new("neither `http` nor `https`")),
            None => return Err(Problem::new("no `http://` or `https://` before the host")),
        };
        if rest.contains('@') {
            return Err(Problem::new("carries a user or password").help("leave them out; credentials do not belong into a URL"));
        }
        if rest.contains(['/', '?', '#']) {
            return Err(Problem::new("something follows the port").help("leave the path out: gRPC has its own, made of service and method"));
        }
        let (host, port) = rest.rsplit_once(':').filter(|(host, _)| !host.ends_with(':')).ok_or_else(|| Problem::new("no port"))?;
        let port = match parse_port(port)? {
            0 => return Err(Problem::new("port 0 is no port to connect to")),
            port => port,
        };
        Ok(EndpointUrl { tls, host: parse_host(host)?, port })
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

// === impl HostName ===

impl HostName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for HostName {
    const WHAT: &'static str = "the name of a host";
    const EXAMPLE: &'static str = "`game.internal`";
    const PATTERN: &'static str = concat!(host_pattern!(), r"|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*");

    fn parse(text: &str) -> Result<HostName, Problem> {
        if text.parse::<Ipv6Addr>().is_err() {
            parse_host(text).map_err(|problem| problem.help("write the name alone, without a port"))?;
        }
        Ok(HostName(text.to_owned()))
    }
}

// === impl SocketUrl ===

impl SocketUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for SocketUrl {
    const WHAT: &'static str = "the URL of a WebSocket";
    const EXAMPLE: &'static str = "`wss://play.example/ws`";
    const PATTERN: &'static str = r"wss?://[^\s@?#]+";

    fn parse(text: &str) -> Result<SocketUrl, Problem> {
        let rest = text.strip_prefix("wss://").or_else(|| text.strip_prefix("ws://"));
        let rest = rest.ok_or_else(|| Problem::new("neither `wss://` nor `ws://` at its beginning"))?;
        if rest.contains(['@', '?', '#']) {
            return Err(Problem::new("carries a user, a query or a fragment").help("leave all but host, port and path out"));
        }
        if !text.is_ascii() {
            return Err(Problem::new("contains something else than ASCII").help("write a name of other letters as `xn--…`"));
        }
        match text.parse::<http::Uri>() {
            Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Ok(SocketUrl(text.to_owned())),
            _ => Err(Problem::new("no URL")),
        }
    }
}

// === impl Cidr ===

impl Value for Cidr {
    const WHAT: &'static str = "a network";
    const EXAMPLE: &'static str = "`10.0.0.0/8` or `2001:db8::/32`";
    const PATTERN: &'static str = r"[0-9a-fA-F.:]+(/[0-9]{1,3})?";

    fn parse(text: &str) -> Result<Cidr, Problem> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Cidr(IpNet::from(address)));
        }
        let network: IpNet = text.parse().map_err(|_| Problem::new("neither an address nor an address and a prefix length"))?;
        if network.trunc() != network {
            return Err(Problem::new("the address has bits set behind the prefix").help(format!("write `{}`", network.trunc())));
        }
        Ok(Cidr(network))
    }
}

// === impl Origin ===

impl Origin {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Origin {
    const WHAT: &'static str = "a web origin";
    const EXAMPLE: &'static str = "`https://example.com` or `http://localhost:3000`";
    const PATTERN: &'static str =
        concat!(r"(?!https://.*:443$|http://.*:80$)(?!.*[A-Z])[a-z0-9+.\-]+://", host_pattern!(), "(:", port_pattern!(), ")?");

    fn parse(text: &str) -> Result<Origin, Problem> {
        if text.contains('*') {
            return Err(Problem::new("a pattern").help("list each origin; a wildcard would let any page use its visitors' sessions"));
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(Problem::new("browsers send origins in lower case"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| Problem::new("no scheme, such as `https://`"))?;
        if !scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+.-".contains(&byte)) || scheme.is_empty() {
            return Err(Problem::new("the scheme is not one"));
        }
        if rest.contains(['/', '?', '#', '@']) {
            return Err(Problem::new("more than scheme, host and port").help("an origin has no path, and no `/` at its end"));
        }
        let port = rest.rsplit_once(':').filter(|(host, _)| !rest.starts_with('[') || host.ends_with(']'));
        if let Some((_, port)) = port {
            parse_port(port)?;
        }
        if matches!((scheme, port), ("https", Some((_, "443"))) | ("http", Some((_, "80")))) {
            return Err(Problem::new("browsers leave the scheme's own port out").help("leave the port out"));
        }
        parse_host(port.map_or(rest, |(host, _)| host))?;
        Ok(Origin(text.to_owned()))
    }
}

/// A name or an address; an IPv6 address in brackets, which are taken off.
fn parse_host(text: &str) -> Result<String, Problem> {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| Problem::new("the brackets hold no IPv6 address"))?;
        return Ok(address.to_string());
    }
    if text.is_empty() || text.len() > 253 {
        return Err(Problem::new("no host"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')) {
        return Err(Problem::new("the host contains something else than letters, digits, `-`, `.` and `_`"));
    }
    // A name may end in a dot, which says that nothing is to be added to it.
    let labels = || text.strip_suffix('.').unwrap_or(text).split('.');
    if labels().any(|label| label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-')) {
        return Err(Problem::new("a part of the host is empty, longer than 63 characters, or has `-` at an end"));
    }
    // As browsers and resolvers do: what ends in a number is an address, or nothing.
    let is_address = labels().next_back().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if is_address && text.parse::<Ipv4Addr>().is_err() {
        return Err(Problem::new("neither an IPv4 address nor a name"));
    }
    Ok(text.to_owned())
}

fn parse_port(text: &str) -> Result<u16, Problem> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::new("the port is not a number"));
    }
    text.parse().map_err(|_| Problem::new("the port is not between 0 and 65535"))
}
