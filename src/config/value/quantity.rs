//! Numbers, with a unit wherever one could be mistaken.

use std::time;

use super::{Problem, Value};
use crate::config::grammar::Shape;
use crate::diagnostic::Rule;

/// The version of the language. There is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version;

/// A length of time: `500ms`, `3s`, `10m`, `24h`, `30d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Duration(pub time::Duration);

/// A number of bytes: `512B`, `64KiB`, `1MiB`, `2GiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ByteSize(pub u64);

/// So many in so long: `20/s`, `5/min`, `1000/h`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rate {
    /// At least 1.
    pub count: u32,
    pub per: time::Duration,
}

/// The number of a route: a plain decimal from 1000; what is below is the gateway's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProtocolNumber(pub u32);

/// Numbers from a first to a last, both included: `1000..1999`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NumberRange {
    pub first: ProtocolNumber,
    pub last: ProtocolNumber,
}

/// Threads that carry connections.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Workers {
    /// One for each processor.
    Auto,
    Count(usize),
}

/// Unit and what it is worth.
type Units = &'static [(&'static str, u64)];

const TIME_UNITS: Units = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const BYTE_UNITS: Units = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const RATE_UNITS: Units = &[("s", 1), ("min", 60), ("h", 3600)];

/// Ten years. Longer is a slip of the finger, and shorter never overflows a clock.
const DURATION_MS_MAX: u64 = 3650 * 86_400_000;

/// One tebibyte, for the same reason.
const BYTES_MAX: u64 = 1 << 40;

/// More threads than any one process of this kind can feed.
const WORKERS_MAX: u32 = 256;

/// From 1000 to 4294967295, without a zero before them.
macro_rules! number_pattern {
    () => {
        concat!(
            "[1-9][0-9]{3,8}|[1-3][0-9]{9}|4[01][0-9]{8}|42[0-8][0-9]{7}|429[0-3][0-9]{6}|4294[0-8][0-9]{5}|42949[0-5][0-9]{4}|",
            "429496[0-6][0-9]{3}|4294967[01][0-9]{2}|42949672[0-8][0-9]|429496729[0-5]"
        )
    };
}

// === impl Version ===

impl Value for Version {
    const WHAT: &'static str = "a version that this program speaks";
    const EXAMPLE: &'static str = "`1`";
    const PATTERN: &'static str = "1";

    fn parse(text: &str) -> Result<Version, Problem> {
        if text == "1" {
            Ok(Version)
        } else {
            Err(Problem::new("this program speaks version 1").rule(Rule::Version).help("write `version: 1`"))
        }
    }

    fn shape() -> Shape {
        Shape::Integer { min: 1, max: 1 }
    }
}

// === impl Duration ===

impl Value for Duration {
    const WHAT: &'static str = "a duration";
    const EXAMPLE: &'static str = "`500ms`, `3s`, `10m`, `24h` or `30d`";
    const PATTERN: &'static str = "(0|[1-9][0-9]*)(ms|s|m|h|d)";

    fn parse(text: &str) -> Result<Duration, Problem> {
        let milliseconds = with_unit(text, TIME_UNITS)?;
        if milliseconds > DURATION_MS_MAX {
            return Err(Problem::new("longer than ten years"));
        }
        Ok(Duration(time::Duration::from_millis(milliseconds)))
    }
}

// === impl ByteSize ===

impl Value for ByteSize {
    const WHAT: &'static str = "a size in bytes";
    const EXAMPLE: &'static str = "`512B`, `64KiB` or `1MiB`";
    const PATTERN: &'static str = "(0|[1-9][0-9]*)(B|KiB|MiB|GiB)";

    fn parse(text: &str) -> Result<ByteSize, Problem> {
        match with_unit(text, BYTE_UNITS)? {
            bytes if bytes > BYTES_MAX => Err(Problem::new("more than 1024GiB")),
            bytes => Ok(ByteSize(bytes)),
        }
    }
}

// === impl Rate ===

impl Value for Rate {
    const WHAT: &'static str = "a rate";
    const EXAMPLE: &'static str = "`20/s`, `5/min` or `1000/h`";
    const PATTERN: &'static str = "[1-9][0-9]{0,9}/(s|min|h)";

    fn parse(text: &str) -> Result<Rate, Problem> {
        let (count, unit) = text.split_once('/').ok_or_else(|| Problem::new("nothing says per what"))?;
        let count = match decimal(count)? {
            0 => return Err(Problem::new("nothing would ever pass").help("to close a route, take its permission away or remove it")),
            count => u32::try_from(count).map_err(|_| Problem::new("too large"))?,
        };
        let (_, seconds) = RATE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| unknown_unit(unit, RATE_UNITS))?;
        Ok(Rate { count, per: time::Duration::from_secs(*seconds) })
    }
}

// === impl ProtocolNumber ===

impl Value for ProtocolNumber {
    const WHAT: &'static str = "a protocol number of a route";
    const EXAMPLE: &'static str = "`1001`";
    const PATTERN: &'static str = number_pattern!();

    fn parse(text: &str) -> Result<ProtocolNumber, Problem> {
        let number = digits(text).map_err(|problem| problem.help("write a plain decimal from 1000 to 4294967295, such as `1001`"))?;
        if text.starts_with('0') && text.len() > 1 {
            return Err(Problem::new("begins with a zero").help(format!("write `{number}`")));
        }
        match u32::try_from(number) {
            Ok(number @ 1000..) => Ok(ProtocolNumber(number)),
            Ok(_) => Err(Problem::new("0-999 are the gateway's own").rule(Rule::NumberRange).help("use a number from 1000")),
            Err(_) => Err(Problem::new("larger than 4294967295")),
        }
    }

    fn shape() -> Shape {
        Shape::Integer { min: 1000, max: u32::MAX }
    }
}

// === impl NumberRange ===

impl NumberRange {
    pub fn contains(self, number: ProtocolNumber) -> bool {
        (self.first..=self.last).contains(&number)
    }
}

impl Value for NumberRange {
    const WHAT: &'static str = "a range of protocol numbers";
    const EXAMPLE: &'static str = "`1000..1999`";
    const PATTERN: &'static str = concat!("(", number_pattern!(), r")\.\.(", number_pattern!(), ")");

    fn parse(text: &str) -> Result<NumberRange, Problem> {
        let (first, last) = text.split_once("..").ok_or_else(|| Problem::new("no `..` between a first and a last number"))?;
        let last = last.strip_prefix('=').map_or(Ok(last), |_| Err(Problem::new("`..` includes the last number; there is no `..=`")))?;
        let (first, last) = (ProtocolNumber::parse(first)?, ProtocolNumber::parse(last)?);
        if last < first {
            return Err(Problem::new("the last number is below the first"));
        }
        Ok(NumberRange { first, last })
    }
}

// === impl Workers ===

impl Value for Workers {
    const WHAT: &'static str = "a number of workers";
    const EXAMPLE: &'static str = "`auto` or `4`";
    const PATTERN: &'static str = "auto|(25[0-6]|2[0-4][0-9]|1[0-9]{2}|[1-9][0-9]?)";

    fn parse(text: &str) -> Result<Workers, Problem> {
        if text == "auto" {
            return Ok(Workers::Auto);
        }
        match decimal(text)? {
            count if (1..=u64::from(WORKERS_MAX)).contains(&count) => Ok(Workers::Count(count as usize)),
            _ => Err(Problem::new(format!("not between 1 and {WORKERS_MAX}"))),
        }
    }

    fn shape() -> Shape {
        or_word(Shape::Integer { min: 1, max: WORKERS_MAX }, Workers::WHAT, "auto")
    }
}

/// Something without quotes, or a word that stands for one.
pub(super) fn or_word(unquoted: Shape, what: &'static str, word: &'static str) -> Shape {
    let text = Shape::Text { what, pattern: word, example: word, unquoted: &[] };
    Shape::Either(Box::new(unquoted), Box::new(text))
}

/// Digits and a unit, times what the unit is worth.
fn with_unit(text: &str, units: Units) -> Result<u64, Problem> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if unit.is_empty() && !number.is_empty() {
        return Err(Problem::new("no unit"));
    }
    let number = decimal(number)?;
    let (_, worth) = units.iter().find(|(name, _)| *name == unit).ok_or_else(|| unknown_unit(unit, units))?;
    number.checked_mul(*worth).ok_or_else(|| Problem::new("too large"))
}

/// Digits and nothing else: no sign, no underscore, no `0x`, and no zero before others, which some take for an octal number.
pub(super) fn decimal(text: &str) -> Result<u64, Problem> {
    match text.strip_prefix('0') {
        Some(rest) if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) => Err(Problem::new("begins with a zero")),
        _ => digits(text),
    }
}

fn digits(text: &str) -> Result<u64, Problem> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::new("not a plain decimal number"));
    }
    text.parse().map_err(|_| Problem::new("too large"))
}

fn unknown_unit(unit: &str, units: Units) -> Problem {
    let why = if unit.starts_with('.') { "not a whole number" } else { "not a unit that is known here" };
    let names = units.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Problem::new(why).help(format!("write a whole number and one of {names}, without a space"))
}
