//! A part of many, written as a percentage, as fine as one in a million.

use super::{Problem, Value};

/// So many in a million: `1%` are 10,000.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Percent(pub u32);

/// Digits behind the point: the last of them is one in a million.
const DIGITS: usize = 4;

// === impl Percent ===

impl Value for Percent {
    const WHAT: &'static str = "a percentage";
    const EXAMPLE: &'static str = "`1%`, `0.1%` or `100%`";
    const PATTERN: &'static str = r"(100(\.0{1,4})?|0?[0-9]{1,2}(\.[0-9]{1,4})?)%";

    fn parse(text: &str) -> Result<Percent, Problem> {
        let number = text.strip_suffix('%').ok_or_else(|| Problem::new("no `%` at its end"))?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        if [whole, part].iter().any(|digits| digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(Problem::new("not a plain decimal number"));
        }
        if part.len() > DIGITS {
            return Err(Problem::new("finer than one in a million"));
        }
        // Three digits at most: more would be more than the whole anyway.
        match format!("{whole}{part:0<DIGITS$}").parse() {
            Ok(millionths @ 0..=1_000_000) if whole.len() <= 3 => Ok(Percent(millionths)),
            _ => Err(Problem::new("more than the whole")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_so_many_in_a_million() {
        for (text, millionths) in [("0%", 0), ("1%", 10_000), ("0.1%", 1_000), ("0.0001%", 1), ("12.5%", 125_000), ("100%", 1_000_000)] {
            assert_eq!(Percent::parse(text).expect(text), Percent(millionths), "{text}");
        }
    }
}
