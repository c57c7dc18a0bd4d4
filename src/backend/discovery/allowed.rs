//! From which addresses an endpoint may be registered. Who may register can be sent passwords.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether one of these networks holds the address. Link-local, multicast and unspecified addresses never may, whatever the networks are:
/// clouds keep the credentials of machines at one of them.
pub fn may_register(allow: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    let never = match address {
        // 0.0.0.0/8 is this machine by another name.
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified(),
    };
    !never && allow.iter().any(|network| network.contains(&address))
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
        assert!(may(&everything, "192.0.2.1") && may(&everything, "2001:db8::1"));
        let never =
            ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "255.255.255.255", "ff02::1"];
        for address in never {
            assert!(!may(&everything, address), "{address}");
        }
    }
}
