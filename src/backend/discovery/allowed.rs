//! From which addresses an endpoint may be registered. Who may register can be sent passwords.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Where one cloud keeps the credentials of machines that speak IPv6 alone.
const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Whether one of these networks holds the address. Link-local, multicast and unspecified addresses never may, whatever the networks are:
/// clouds keep the credentials of machines at one of them.
pub fn may_register(allow: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    let never = match address {
        IpAddr::V4(v4) => is_no_place(v4),
        IpAddr::V6(v6) => {
            let is_special = v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified() || v6 == METADATA;
            is_special || inside(v6).is_some_and(is_no_place)
        }
    };
    !never && allow.iter().any(|network| network.contains(&address))
}

/// Of these 0.0.0.0/8 is this machine by another name, and 240.0.0.0/4 is nobody's.
fn is_no_place(address: Ipv4Addr) -> bool {
    address.is_link_local() || address.is_multicast() || matches!(address.octets()[0], 0 | 240..)
}

/// The IPv4 address to which an IPv6 one leads: by NAT64, by 6to4, or by the old way of writing one in the other.
fn inside(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => (high, low),
        // `::1` is no such address.
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(allow: &[&str], address: &str) -> bool {
        let allow: Vec<IpNet> = allow.iter().map(|network| network.parse().unwrap()).collect();
        may_register(&allow, address.parse().unwrap())
    }

    #[test]
    fn an_address_in_an_allowed_network_may() {
        assert!(may(&["10.0.0.0/8", "fd00::/8"], "10.1.2.3"));
        assert!(may(&["10.0.0.0/8", "fd00::/8"], "fd00::1"));
        assert!(may(&["10.0.0.0/8"], "::ffff:10.1.2.3"), "an IPv4 address in an IPv6 one is that address");
        assert!(!may(&["10.0.0.0/8"], "11.0.0.1"));
        assert!(!may(&[], "127.0.0.1"));
    }

    #[test]
    fn what_is_no_place_of_a_service_never_may() {
        let everything = ["0.0.0.0/0", "::/0"];
        assert!(may(&everything, "64:ff9b::192.0.2.1") && may(&everything, "::1"));
        assert!(may(&everything, "192.0.2.1") && may(&everything, "2001:db8::1"));
        let never = [
            "169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "fd00:ec2::254",
            "240.0.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ];
        for address in never {
            assert!(!may(&everything, address), "{address}");
        }
    }
}
