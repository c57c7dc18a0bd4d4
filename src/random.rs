//! What nobody can guess: ids, names, secrets and codes, from the operating system alone.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// RFC 4648, in small letters.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Without what people mistake for one another: I, L, O, U.
const READABLE: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// 128 bits of small letters and digits: the id of something.
pub fn id() -> String {
    let bits = u128::from_be_bytes(bytes());
    (0..26).map(|place| char::from(BASE32[(bits >> (5 * place) & 31) as usize])).collect()
}

/// So many random bytes as text that needs no quoting.
pub fn secret<const BYTES: usize>() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes::<BYTES>())
}

/// 128 bits as such a text: a name that nobody else has.
pub fn name() -> String {
    secret::<16>()
}

/// 60 bits for people to copy, such as `7KQ2-M0XD-9TAB`.
pub fn code() -> String {
    let bits = u64::from_be_bytes(bytes());
    let letters: String = (0..12).map(|place| char::from(READABLE[(bits >> (5 * place) & 31) as usize])).collect();
    format!("{}-{}-{}", &letters[..4], &letters[4..8], &letters[8..])
}

/// Bytes nobody had before.
pub fn bytes<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike_and_all_are_plain() {
        assert_ne!(id(), id());
        assert_eq!(id().len(), 26);
        assert!(id().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        assert_ne!(name(), name());
        assert_eq!((name().len(), secret::<32>().len()), (22, 43));
        assert_eq!(code().len(), 14);
        assert_ne!(code(), code());
    }
}
