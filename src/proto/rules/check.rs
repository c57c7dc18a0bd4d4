//! One rule about one value: whether it holds, and what it says when it does not.

use regex::Regex;

use super::constant::{Constant, Datum};

/// A rule with its id and its words.
pub(super) struct Check {
    /// Such as `string.min_len`.
    pub rule: String,
    /// Such as `must be at least 3 characters`.
    pub says: String,
    pub test: Test,
}

pub(super) enum Test {
    Is(Constant),
    In(Box<[Constant]>),
    NotIn(Box<[Constant]>),
    Range(Range),
    Finite,
    /// The numbers of an enum, ascending.
    Defined(Box<[i128]>),
    /// Least and most characters.
    Chars(u64, u64),
    /// Least and most bytes.
    Size(u64, u64),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<[u8]>),
    NotContains(Box<[u8]>),
    Pattern(Regex),
    Format(fn(&str) -> bool),
    /// A format of bytes is its length.
    Sizes(&'static [usize]),
}

/// Where a number must lie. A lower bound above the upper one leaves out what is between them.
pub(super) struct Range {
    pub lower: Option<Bound>,
    pub upper: Option<Bound>,
}

pub(super) struct Bound {
    pub at: Constant,
    pub included: bool,
}

// === impl Check ===

impl Check {
    /// The id and the words for a value that breaks this rule. A format that is not even begun has its own.
    pub fn broken_by(&self, value: Datum<'_>) -> (String, String) {
        match (&self.test, self.says.strip_prefix("must be ")) {
            (Test::Format(_) | Test::Sizes(_), Some(what)) if value.is_zero() => {
                (format!("{}_empty", self.rule), format!("is empty, which is not {what}"))
            }
            _ => (self.rule.clone(), self.says.clone()),
        }
    }
}

// === impl Test ===

impl Test {
    pub fn holds(&self, value: Datum<'_>) -> bool {
        let among = |constants: &[Constant]| constants.iter().any(|constant| constant.datum() == value);
        match self {
            Test::Is(constant) => constant.datum() == value,
            Test::In(constants) => among(constants),
            Test::NotIn(constants) => !among(constants),
            Test::Range(range) => range.holds(value),
            Test::Finite => matches!(value, Datum::Float(value) if value.is_finite()),
            Test::Defined(numbers) => matches!(value, Datum::Int(value) if numbers.binary_search(&value).is_ok()),
            Test::Chars(least, most) => matches!(value, Datum::Text(text) if (*least..=*most).contains(&(text.chars().count() as u64))),
            Test::Size(least, most) => (*least..=*most).contains(&(value.bytes().len() as u64)),
            Test::Prefix(prefix) => value.bytes().starts_with(prefix),
            Test::Suffix(suffix) => value.bytes().ends_with(suffix),
            Test::Contains(part) => contains(value.bytes(), part),
            Test::NotContains(part) => !contains(value.bytes(), part),
            // Bytes that are no text match no pattern.
            Test::Pattern(pattern) => std::str::from_utf8(value.bytes()).is_ok_and(|text| pattern.is_match(text)),
            Test::Format(is) => matches!(value, Datum::Text(text) if is(text)),
            Test::Sizes(sizes) => sizes.contains(&value.bytes().len()),
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    // Text in text is searched for in linear time; bytes are short, or a rule about them is not what one writes.
    match (std::str::from_utf8(bytes), std::str::from_utf8(part)) {
        (Ok(text), Ok(part)) => text.contains(part),
        _ => part.is_empty() || bytes.windows(part.len()).any(|window| window == part),
    }
}

// === impl Range ===

impl Range {
    /// A number that is none lies nowhere.
    fn holds(&self, value: Datum<'_>) -> bool {
        let above = |bound: &Bound| value > bound.at.datum() || (bound.included && value == bound.at.datum());
        let below = |bound: &Bound| value < bound.at.datum() || (bound.included && value == bound.at.datum());
        match (&self.lower, &self.upper) {
            (Some(lower), Some(upper)) if self.is_inverted() => above(lower) || below(upper),
            (Some(lower), Some(upper)) => above(lower) && below(upper),
            (Some(lower), None) => above(lower),
            (None, Some(upper)) => below(upper),
            (None, None) => true,
        }
    }

    /// Such as `gt_lte_exclusive`.
    pub fn name(&self) -> String {
        let lower = self.lower.as_ref().map(|bound| if bound.included { "gte" } else { "gt" });
        let upper = self.upper.as_ref().map(|bound| if bound.included { "lte" } else { "lt" });
        let names: Vec<&str> = lower.into_iter().chain(upper).chain(self.is_inverted().then_some("exclusive")).collect();
        names.join("_")
    }

    pub fn says(&self) -> String {
        let or_equal = |bound: &Bound| if bound.included { "or equal to " } else { "" };
        let lower = self.lower.as_ref().map(|bound| format!("greater than {}{}", or_equal(bound), bound.at));
        let upper = self.upper.as_ref().map(|bound| format!("less than {}{}", or_equal(bound), bound.at));
        let both: Vec<String> = lower.into_iter().chain(upper).collect();
        format!("must be {}", both.join(if self.is_inverted() { " or " } else { " and " }))
    }

    fn is_inverted(&self) -> bool {
        matches!((&self.lower, &self.upper), (Some(lower), Some(upper)) if upper.at.datum() < lower.at.datum())
    }
}
