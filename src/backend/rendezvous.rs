//! Which member of a group a key belongs to: rendezvous hashing, by weights.
//!
//! Every member draws a lot for the key, and the best lot wins; a lot depends on nothing but the key, the member's name and its weight.
//! Promises: a member's share of the keys is its share of the weight; one that comes, or weighs more, takes keys and moves no other; one
//! that goes, weighs less or is passed over gives up its own and moves no other; the order of the members does not matter. It keeps
//! sixteen bytes a member. Among ten members a key is found in a quarter of a microsecond, among a thousand in five (`benches/dispatch`):
//! less than a table would cost that has to be made anew whenever a member comes or goes, and shares out as evenly.

use super::hash::{hash, mix};

/// The members of a group, by their places.
pub struct Rendezvous {
    members: Box<[Member]>,
}

struct Member {
    seed: u64,
    weight: f64,
}

// === impl Rendezvous ===

impl Rendezvous {
    /// Members by name, each with its weight; one that weighs nothing gets no key.
    pub fn new<N: AsRef<[u8]>>(members: impl IntoIterator<Item = (N, u32)>) -> Rendezvous {
        let member = |(name, weight): (N, u32)| Member { seed: hash(name.as_ref()), weight: f64::from(weight) };
        Rendezvous { members: members.into_iter().map(member).collect() }
    }

    /// The place of the member to which a key belongs, of those that `may` have it. Only few of them are asked.
    pub fn find(&self, key: u64, may: impl Fn(usize) -> bool) -> Option<usize> {
        // The lots are the times at which clocks of these rates first strike, and the earliest wins.
        let (mut earliest, mut winner) = (f64::INFINITY, None);
        for (place, member) in self.members.iter().enumerate() {
            let lot = lot(member.seed ^ key);
            // -ln(lot) is at least 1 - lot: most are out of it before the logarithm is taken.
            if member.weight == 0.0 || 1.0 - lot >= earliest * member.weight {
                continue;
            }
            let time = -ln(lot) / member.weight;
            if time < earliest && may(place) {
                (earliest, winner) = (time, Some(place));
            }
        }
        winner
    }
}

/// A number between 0 and 1, neither of them.
fn lot(bits: u64) -> f64 {
    ((mix(bits) >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

/// The natural logarithm of a positive normal number, to eight digits. The library's may differ between machines, and gateways would
/// not agree; this one has nothing but additions, multiplications and divisions, which are the same everywhere.
fn ln(number: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    const BIAS: u64 = 1023;
    let bits = number.to_bits();
    let exponent = (bits >> 52) as f64 - BIAS as f64;
    let mantissa = f64::from_bits((bits & MANTISSA) | (BIAS << 52));
    let (exponent, mantissa) = if mantissa > std::f64::consts::SQRT_2 { (exponent + 1.0, mantissa / 2.0) } else { (exponent, mantissa) };
    // ln m = 2 artanh ((m - 1) / (m + 1)), and the argument is at most 0.172.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0 + square / 9.0)));
    exponent * std::f64::consts::LN_2 + 2.0 * z * series
}

#[cfg(test)]
mod tests;
