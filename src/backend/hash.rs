//! The hash by which keys and endpoints find each other: the same in every process, on every machine, for ever.
//!
//! Gateways that share nothing send equal keys to equal places because of it, so what it yields must never change. It is no defence
//! against keys that are made to collide: whoever can choose a key can as well say the same one twice.

/// FNV-1a, mixed, so that keys which differ in one letter have nothing in common.
pub fn hash(bytes: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// The finish of splitmix64: each bit of `value` decides half of the bits that come out, and no two values come out alike.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_same_for_ever() {
        assert_eq!(hash(b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(hash(b"room-1"), 0x8092_b68d_8a8c_9e8c);
        assert_eq!(hash(b"127.0.0.1:50051"), 0xaa41_6fb7_5a36_16c4);
    }
}
