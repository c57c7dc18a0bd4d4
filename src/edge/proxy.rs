//! Who the client is when a proxy stands in front.
//!
//! Only a proxy in `trusted_proxies` is believed. Of a chain of addresses, the right-most one that is no trusted proxy is the client: what
//! stands left of it was written by the client itself. Headers from a stranger change nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::HeaderMap;
use http::header::FORWARDED;
use ipnet::IpNet;
use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// The older header, and the more common one. Its entries are bare addresses.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// A proxy sends its header at once, before anything of the client's.
const PROXY_HEADER_WAIT: Duration = Duration::from_secs(5);

/// Longest header of version 1, as its specification says.
const V1_BYTES_MAX: usize = 107;

/// What every header of version 2 starts with: signature, command, family and the length of the rest.
const V2_FIXED_BYTES: usize = 16;

/// Longest header of version 2 that is read: Unix addresses are 216 bytes, and cloud balancers add some small fields.
const V2_BYTES_MAX: usize = 2048;

/// Enough to tell the two versions apart, and less than the shortest header of either.
const SIGNATURE_BYTES: usize = v2::PROTOCOL_PREFIX.len();

/// What the forwarding headers say.
#[derive(PartialEq, Eq, Debug)]
pub enum Forwarded {
    /// The client's address.
    Client(IpAddr),
    /// There are headers, but `peer` is not trusted to write them. The client is `peer`.
    Stranger,
    /// `X-Forwarded-For` and `Forwarded` name different clients, so one of them was not written by the proxy.
    Contradiction,
}

/// Whether an address is one of the proxies that are believed.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// Reads the forwarding headers of a request that `peer` sent.
pub fn forwarded(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Forwarded {
    let lists = [addresses(headers, X_FORWARDED_FOR, bare_address), addresses(headers, FORWARDED.as_str(), for_address)];
    let mut present = lists.iter().filter(|list| !list.is_empty());
    let (first, second) = (present.next(), present.next());
    let Some(first) = first else { return Forwarded::Client(peer) };
    if !is_trusted(peer, trusted) {
        return Forwarded::Stranger;
    }
    let client = right_most_stranger(peer, first, trusted);
    match second {
        Some(second) if right_most_stranger(peer, second, trusted) != client => Forwarded::Contradiction,
        _ => Forwarded::Client(client),
    }
}

/// The line that would make `peer` a trusted proxy.
pub fn remedy(peer: IpAddr) -> String {
    format!("trusted_proxies: [\"{}\"]", IpNet::from(peer.to_canonical()))
}

/// Reads a PROXY protocol header from the start of a stream, and not one byte more. Nothing: the proxy speaks for itself.
pub async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    timeout(PROXY_HEADER_WAIT, async {
        let mut header = vec![0; SIGNATURE_BYTES];
        stream.read_exact(&mut header).await?;
        if header == v2::PROTOCOL_PREFIX {
            read_v2_rest(stream, &mut header).await?;
        } else {
            read_v1_rest(stream, &mut header).await?;
        }
        source(&header)
    })
    .await?
}

async fn read_v2_rest(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> io::Result<()> {
    header.resize(V2_FIXED_BYTES, 0);
    stream.read_exact(&mut header[SIGNATURE_BYTES..]).await?;
    let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if header.len() + rest > V2_BYTES_MAX {
        return Err(invalid("PROXY protocol header too long"));
    }
    header.resize(header.len() + rest, 0);
    stream.read_exact(&mut header[V2_FIXED_BYTES..]).await.map(drop)
}

/// Byte by byte: the header has no length, and what follows its line is not ours to take.
async fn read_v1_rest(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> io::Result<()> {
    if !header.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        return Err(invalid("a trusted proxy sent no PROXY protocol header"));
    }
    while !header.ends_with(b"\r\n") {
        if header.len() == V1_BYTES_MAX {
            return Err(invalid("PROXY protocol header too long"));
        }
        header.push(stream.read_u8().await?);
    }
    Ok(())
}

fn source(header: &[u8]) -> io::Result<Option<SocketAddr>> {
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) if header.command == v2::Command::Local => Ok(None),
        HeaderResult::V2(Ok(header)) => Ok(match header.addresses {
            v2::Addresses::IPv4(ip) => Some((ip.source_address, ip.source_port).into()),
            v2::Addresses::IPv6(ip) => Some((ip.source_address, ip.source_port).into()),
            v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
        }),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(invalid("malformed PROXY protocol header")),
    }
}

/// Walks from the right while the addresses are trusted proxies. An entry that cannot be read ends the walk at the proxy that wrote it.
fn right_most_stranger(peer: IpAddr, chain: &[Option<IpAddr>], trusted: &[IpNet]) -> IpAddr {
    let mut client = peer;
    for address in chain.iter().rev() {
        let Some(address) = address else { break };
        client = *address;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

/// Every entry of a list header, over all its lines, as an address where it is one.
fn addresses(headers: &HeaderMap, name: &str, read: fn(&str) -> Option<IpAddr>) -> Vec<Option<IpAddr>> {
    let lines = headers.get_all(name).iter();
    lines.flat_map(|line| line.to_str().unwrap_or("").split(',').map(|entry| read(entry.trim())).collect::<Vec<_>>()).collect()
}

/// `192.0.2.1`, `2001:db8::1`, and both with a port, the latter in brackets.
fn bare_address(entry: &str) -> Option<IpAddr> {
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: Option<IpAddr> =
        entry.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip())).or_else(bracketed);
    address.map(|address| address.to_canonical())
}

/// The `for` of one element of RFC 7239: `for="[2001:db8::1]:4711";proto=https`. Obfuscated names are no addresses.
fn for_address(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let value = pairs.filter(|(key, _)| key.eq_ignore_ascii_case("for")).map(|(_, value)| value.trim_matches('"')).next()?;
    bare_address(value)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[(&'static str, &str)]) -> Forwarded {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, value.parse().unwrap());
        }
        forwarded(peer.parse().unwrap(), &map, &trusted)
    }

    #[test]
    fn the_right_most_stranger_is_the_client() {
        let is = |address: &str| Forwarded::Client(address.parse().unwrap());
        for (peer, lines, expected) in [
            ("192.0.2.1", &[][..], is("192.0.2.1")),
            ("192.0.2.1", &[("x-forwarded-for", "1.2.3.4")], Forwarded::Stranger),
            ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4")], is("1.2.3.4")),
            ("::ffff:10.0.0.1", &[("x-forwarded-for", "1.2.3.4")], is("1.2.3.4")),
            ("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.2")], is("1.2.3.4")),
            ("10.0.0.1", &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4,10.0.0.2")], is("1.2.3.4")),
            ("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], is("10.0.0.3")),
            ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, nonsense")], is("10.0.0.1")),
            ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, nonsense, 10.0.0.2")], is("10.0.0.2")),
            ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4:555")], is("1.2.3.4")),
            ("fd00::1", &[("x-forwarded-for", "[2001:db8::1]:555")], is("2001:db8::1")),
            ("10.0.0.1", &[("forwarded", "for=6.6.6.6, For=\"[2001:db8::1]:555\";proto=https")], is("2001:db8::1")),
            ("10.0.0.1", &[("forwarded", "for=_hidden")], is("10.0.0.1")),
            ("10.0.0.1", &[("forwarded", "for=1.2.3.4"), ("x-forwarded-for", "1.2.3.4")], is("1.2.3.4")),
            ("10.0.0.1", &[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "1.2.3.4")], Forwarded::Contradiction),
        ] {
            assert_eq!(client(peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_remedy_can_be_pasted() {
        assert_eq!(remedy("::ffff:192.0.2.1".parse().unwrap()), r#"trusted_proxies: ["192.0.2.1/32"]"#);
        assert_eq!(remedy("2001:db8::1".parse().unwrap()), r#"trusted_proxies: ["2001:db8::1/128"]"#);
    }

    async fn header(bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, usize) {
        let mut rest = bytes;
        let read = read_header(&mut rest).await;
        (read, rest.len())
    }

    #[tokio::test]
    async fn a_proxy_header_is_read_to_its_end_and_no_further() {
        let (read, rest) = header(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\nGET /").await;
        assert_eq!((read.unwrap(), rest), (Some("192.0.2.1:4711".parse().unwrap()), 5));
        let (read, rest) = header(b"PROXY UNKNOWN\r\nGET /").await;
        assert_eq!((read.unwrap(), rest), (None, 5));

        let mut v2 = [v2::PROTOCOL_PREFIX, &[0x21, 0x11, 0, 15, 192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 1, 187, 4, 0, 0]].concat();
        v2.extend(b"GET /");
        let (read, rest) = header(&v2).await;
        assert_eq!((read.unwrap(), rest), (Some("192.0.2.1:4711".parse().unwrap()), 5));
        v2[12] = 0x20;
        let (read, rest) = header(&v2).await;
        assert_eq!((read.unwrap(), rest), (None, 5));
    }

    #[tokio::test]
    async fn what_is_no_proxy_header_is_refused() {
        assert!(header(b"GET / HTTP/1.1\r\n\r\n").await.0.is_err());
        assert!(header(&[b"PROXY TCP4 ", &[b'1'; 200][..]].concat()).await.0.is_err());
        assert!(header(&[v2::PROTOCOL_PREFIX, &[0x21, 0x11, 0xff, 0xff]].concat()).await.0.is_err());
        assert!(header(b"PROXY").await.0.is_err());
    }
}
