//! RFC 3986: what is a URI, and what a reference to one.
//!
//! As protovalidate reads it: an IPv6 address may have a zone (RFC 6874), and a percent-encoded host is UTF-8.

use super::formats::is_ipv6;

/// `scheme ":" hier-part [ "?" query ] [ "#" fragment ]`
pub(super) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(in_scheme);
    is_scheme && parts(rest).is_some_and(is_path)
}

/// A URI, or what is relative to one: its first segment holds no colon.
pub(super) fn is_uri_reference(text: &str) -> bool {
    let has_colon = |path: &str| path.split('/').next().is_some_and(|first| first.contains(':'));
    is_uri(text) || parts(text).is_some_and(|path| (path.starts_with('/') || !has_colon(path)) && is_path(path))
}

/// Takes query and fragment off, if they are such.
fn parts(text: &str) -> Option<&str> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    (is_made_of(fragment, b":@/?") && is_made_of(query, b":@/?")).then_some(path)
}

/// What lies between scheme and query. With two slashes it begins with an authority.
fn is_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("//") else { return is_made_of(path, b":@/") };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    is_authority(authority) && is_made_of(path, b":@/")
}

/// `[ userinfo "@" ] host [ ":" port ]`
fn is_authority(authority: &str) -> bool {
    let (user, host) = authority.split_once('@').unwrap_or(("", authority));
    let (is_host, port) = match host.strip_prefix('[') {
        Some(literal) => match literal.split_once(']') {
            Some((literal, port)) => (is_literal(literal), port),
            None => return false,
        },
        None => {
            let (name, port) = host.find(':').map_or((host, ""), |at| host.split_at(at));
            (is_made_of(name, b"") && is_decoded_utf8(name), port)
        }
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    is_made_of(user, b":") && is_host && is_port
}

/// `IPv6address / IPv6addrz / IPvFuture`
fn is_literal(literal: &str) -> bool {
    if let Some((version, address)) = literal.strip_prefix('v').and_then(|future| future.split_once('.')) {
        let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit());
        return is_version && !address.is_empty() && !address.contains('%') && is_made_of(address, b":");
    }
    // An address in a URI is hexadecimal digits and colons only.
    let is_address = |address: &str| !address.contains(['.', '%']) && is_ipv6(address);
    match literal.split_once("%25") {
        Some((address, zone)) => is_address(address) && is_zone(zone) && is_decoded_utf8(zone),
        None => is_address(literal),
    }
}

fn is_zone(zone: &str) -> bool {
    !zone.is_empty() && is_made_of(zone, b"") && !zone.contains(|c| "!$&'()*+,;=".contains(c))
}

/// Unreserved characters, delimiters within parts, percent-encoded bytes, and what else is said.
fn is_made_of(text: &str, others: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => [bytes.next(), bytes.next()].iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
            byte => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) || others.contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Whether the percent-encoded bytes, decoded, are UTF-8. They are well-formed.
fn is_decoded_utf8(text: &str) -> bool {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.extend_from_slice(before.as_bytes());
        let Some(byte) = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) else { return false };
        decoded.push(byte);
        rest = &after[2..];
    }
    std::str::from_utf8(&decoded).is_ok()
}
