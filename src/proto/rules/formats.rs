//! The formats of texts that have a name, as protovalidate defines them.
//!
//! Promise: linear in the text.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::uri;

/// What a text must be, and whether it is.
pub(super) type Format = (&'static str, fn(&str) -> bool);

/// By the name of the rule.
const FORMATS: [(&str, Format); 21] = [
    ("email", ("a valid email address", is_email)),
    ("hostname", ("a valid hostname", is_hostname)),
    ("ip", ("a valid IP address", is_ip)),
    ("ipv4", ("a valid IPv4 address", is_ipv4)),
    ("ipv6", ("a valid IPv6 address", is_ipv6)),
    ("uri", ("a valid URI", uri::is_uri)),
    ("uri_ref", ("a valid URI Reference", uri::is_uri_reference)),
    ("address", ("a valid hostname, or ip address", |text| is_hostname(text) || is_ip(text))),
    ("uuid", ("a valid UUID", is_uuid)),
    ("tuuid", ("a valid trimmed UUID", |text| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))),
    ("ip_with_prefixlen", ("a valid IP prefix", |text| prefix(text, v4, false) || prefix(text, v6, false))),
    ("ipv4_with_prefixlen", ("a valid IPv4 address with prefix length", |text| prefix(text, v4, false))),
    ("ipv6_with_prefixlen", ("a valid IPv6 address with prefix length", |text| prefix(text, v6, false))),
    ("ip_prefix", ("a valid IP prefix", |text| prefix(text, v4, true) || prefix(text, v6, true))),
    ("ipv4_prefix", ("a valid IPv4 prefix", |text| prefix(text, v4, true))),
    ("ipv6_prefix", ("a valid IPv6 prefix", |text| prefix(text, v6, true))),
    ("host_and_port", ("a valid host (hostname or IP address) and port pair", is_host_and_port)),
    ("ulid", ("a valid ULID", is_ulid)),
    ("protobuf_fqn", ("a valid fully-qualified Protobuf name", is_name)),
    ("protobuf_dot_fqn", ("a valid fully-qualified Protobuf name with a leading dot", |text| text.strip_prefix('.').is_some_and(is_name))),
    ("well_known_regex.header_name", ("a valid HTTP header name", is_header_name)),
];

/// The format that a rule of texts names.
pub(super) fn find(name: &str) -> Option<Format> {
    FORMATS.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
}

/// The definition of HTML, which is not that of mail.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let in_local = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    !local.is_empty() && local.bytes().all(in_local) && domain.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let in_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(in_label) && !label.starts_with('-') && !label.ends_with('-')
}

fn is_hostname(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253 && name.split('.').all(is_label) && !name.split('.').next_back().is_some_and(is_number)
}

fn is_ip(text: &str) -> bool {
    is_ipv4(text) || is_ipv6(text)
}

fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

/// A zone may follow, and may be anything but empty.
pub(super) fn is_ipv6(text: &str) -> bool {
    match text.split_once('%') {
        Some((address, zone)) => !zone.is_empty() && address.parse::<Ipv6Addr>().is_ok(),
        None => text.parse::<Ipv6Addr>().is_ok(),
    }
}

/// An address as a number in the high bits, and how many bits it has.
type Address = (u128, u32);

fn v4(text: &str) -> Option<Address> {
    text.parse::<Ipv4Addr>().ok().map(|address| (u128::from(address.to_bits()) << 96, 32))
}

fn v6(text: &str) -> Option<Address> {
    text.parse::<Ipv6Addr>().ok().map(|address| (address.to_bits(), 128))
}

/// An address and the length of a prefix; when `strict`, nothing of the address is behind the prefix.
fn prefix(text: &str, address: fn(&str) -> Option<Address>, strict: bool) -> bool {
    let Some((before, len)) = text.split_once('/') else { return false };
    let Some((bits, len_max)) = address(before) else { return false };
    match number(len, len_max) {
        Some(len) => !strict || bits.checked_shl(len).unwrap_or(0) == 0,
        None => false,
    }
}

/// Decimal digits without a needless zero, at most `max`.
fn number(text: &str, max: u32) -> Option<u32> {
    let plain = text == "0" || (text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
    text.parse().ok().filter(|number| plain && *number <= max)
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = match host.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']').is_some_and(is_ipv6),
        None => is_hostname(host) || is_ipv4(host),
    };
    is_host && number(port, 65_535).is_some()
}

fn is_uuid(text: &str) -> bool {
    let parts = text.split('-').map(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(part.len()));
    parts.eq([8, 4, 4, 4, 12].map(Some))
}

fn is_ulid(text: &str) -> bool {
    let in_ulid = |byte: u8| byte.is_ascii_alphanumeric() && !b"ILOUilou".contains(&byte);
    text.len() == 26 && matches!(text.as_bytes()[0], b'0'..=b'7') && text.bytes().all(in_ulid)
}

fn is_name(text: &str) -> bool {
    let in_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.split('.').all(|part| part.bytes().all(in_part) && part.bytes().next().is_some_and(|first| !first.is_ascii_digit()))
}

/// A pseudo-header's colon may come first. The `+-.` of the definition is a range, and so a comma is part of it.
fn is_header_name(text: &str) -> bool {
    let name = text.strip_prefix(':').unwrap_or(text);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+,-.^_|~`".contains(&byte))
}

/// Lines and other control characters but the tab are no header's.
pub(super) fn is_header_value(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f))
}

/// What is left of a header's definitions when they are not strict.
pub(super) fn is_header_loosely(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, 0 | b'\n' | b'\r'))
}
