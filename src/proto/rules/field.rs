//! The options of one field to what is asked of its values.

use prost_reflect::{DynamicMessage, Kind, Value as Reflected};

use super::check::{Bound, Check, Range, Test};
use super::constant::Constant;
use super::{formats, pattern, types};

/// What the options of a field, of its items, keys or values say.
#[derive(Default)]
pub(super) struct Asked {
    pub required: bool,
    pub ignore: Ignore,
    pub checks: Vec<Check>,
    /// The rules of a list or a map, which are about the field as a whole.
    pub whole: Option<DynamicMessage>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ignore {
    #[default]
    Unspecified,
    IfZero,
    Always,
}

/// A rule that cannot be enforced, and why.
pub(super) type Refused = (String, String);

const NOT_KNOWN: &str = "protogate does not know this rule";

/// Reads `FieldRules` for values of `kind`, or for a list or a map, whose rules are named `whole`; nothing is said about what is ignored.
pub(super) fn read(options: &DynamicMessage, kind: &Kind, whole: Option<&str>, refused: &mut Vec<Refused>) -> Asked {
    let mut asked = Asked::default();
    let found_before = refused.len();
    unknown(options, "", refused);
    for (field, value) in options.fields() {
        match (field.name(), value) {
            ("required", value) => asked.required = value.as_bool() == Some(true),
            ("ignore", Reflected::EnumNumber(1)) => asked.ignore = Ignore::IfZero,
            ("ignore", Reflected::EnumNumber(3)) => asked.ignore = Ignore::Always,
            ("ignore", Reflected::EnumNumber(0)) => {}
            (name, Reflected::Message(rules)) if Some(name) == whole => {
                unknown(rules, name, refused);
                asked.whole = Some(rules.clone());
            }
            (name, Reflected::Message(rules)) if Some(name) == types::rules_of(kind) && whole.is_none() => {
                unknown(rules, name, refused);
                asked.checks = checks(name, rules, kind, refused);
            }
            ("cel" | "cel_expression", _) => refused.push(("cel".to_owned(), "CEL expressions are not supported".to_owned())),
            (name, Reflected::Message(_)) if name != "field_mask" => {
                refused.push((name.to_owned(), "the field has another type".to_owned()))
            }
            (name, _) => refused.push((name.to_owned(), NOT_KNOWN.to_owned())),
        }
    }
    if asked.ignore == Ignore::Always {
        refused.truncate(found_before);
        return Asked { ignore: Ignore::Always, ..Asked::default() };
    }
    asked
}

/// Rules that are extensions, or newer than this program.
pub(super) fn unknown(rules: &DynamicMessage, name: &str, refused: &mut Vec<Refused>) {
    let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
    for field in rules.unknown_fields() {
        let why = if field.number() >= 1000 { "predefined rules of one's own are not supported" } else { NOT_KNOWN };
        refused.push((format!("{prefix}{}", field.number()), why.to_owned()));
    }
}

fn checks(name: &str, rules: &DynamicMessage, kind: &Kind, refused: &mut Vec<Refused>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut range = Range { lower: None, upper: None };
    for (field, value) in rules.fields() {
        let rule = field.name();
        let id = format!("{name}.{rule}");
        match (rule, value) {
            ("lt" | "lte", value) => range.upper = Some(Bound { at: Constant::of(value), included: rule == "lte" }),
            ("gt" | "gte", value) => range.lower = Some(Bound { at: Constant::of(value), included: rule == "gte" }),
            // `strict` says something about another rule; examples are for people; what is not asked for is not.
            ("strict" | "example", _) | (_, Reflected::Bool(false)) if rule != "const" => {}
            ("well_known_regex", Reflected::EnumNumber(number)) => checks.extend(header(*number, rules)),
            (_, value) => match test(name, rule, value, kind) {
                Ok((says, test)) => checks.push(Check { rule: id, says, test }),
                Err(why) => refused.push((id, why)),
            },
        }
    }
    if range.lower.is_some() || range.upper.is_some() {
        checks.push(Check { rule: format!("{name}.{}", range.name()), says: range.says(), test: Test::Range(range) });
    }
    checks
}

/// What one rule says and tests, or why it cannot.
fn test(name: &str, rule: &str, value: &Reflected, kind: &Kind) -> Result<(String, Test), String> {
    let number = value.as_u64().unwrap_or_default();
    let constant = || Constant::of(value);
    let part = || Box::<[u8]>::from(Constant::of(value).datum().bytes());
    Ok(match (rule, value) {
        ("const", _) => (format!("must equal {}", constant()), Test::Is(constant())),
        ("in", Reflected::List(values)) if name == "any" => ("has a type that is not allowed".to_owned(), Test::In(constants(values))),
        ("not_in", Reflected::List(values)) if name == "any" => ("has a type that is blocked".to_owned(), Test::NotIn(constants(values))),
        ("in", Reflected::List(values)) => (format!("must be in list {}", listed(values)), Test::In(constants(values))),
        ("not_in", Reflected::List(values)) => (format!("must not be in list {}", listed(values)), Test::NotIn(constants(values))),
        ("finite", _) => ("must be finite".to_owned(), Test::Finite),
        ("defined_only", _) => {
            let Kind::Enum(values) = kind else { return Err("the field is no enum".to_owned()) };
            let mut numbers: Vec<i128> = values.values().map(|value| value.number().into()).collect();
            numbers.sort_unstable();
            ("must be one of the defined enum values".to_owned(), Test::Defined(numbers.into()))
        }
        ("len", _) if name == "string" => (format!("must be {number} characters"), Test::Chars(number, number)),
        ("min_len", _) if name == "string" => (format!("must be at least {number} characters"), Test::Chars(number, u64::MAX)),
        ("max_len", _) if name == "string" => (format!("must be at most {number} characters"), Test::Chars(0, number)),
        ("len" | "len_bytes", _) => (format!("must be {number} bytes"), Test::Size(number, number)),
        ("min_len" | "min_bytes", _) => (format!("must be at least {number} bytes"), Test::Size(number, u64::MAX)),
        ("max_len" | "max_bytes", _) => (format!("must be at most {number} bytes"), Test::Size(0, number)),
        ("prefix", _) => (format!("does not have prefix {}", constant()), Test::Prefix(part())),
        ("suffix", _) => (format!("does not have suffix {}", constant()), Test::Suffix(part())),
        ("contains", _) => (format!("does not contain {}", constant()), Test::Contains(part())),
        ("not_contains", _) => (format!("contains {}", constant()), Test::NotContains(part())),
        ("pattern", Reflected::String(text)) => (format!("does not match regex pattern `{text}`"), Test::Pattern(pattern::compile(text)?)),
        ("ip", _) if name == "bytes" => ("must be a valid IP address".to_owned(), Test::Sizes(&[4, 16])),
        ("ipv4", _) if name == "bytes" => ("must be a valid IPv4 address".to_owned(), Test::Sizes(&[4])),
        ("ipv6", _) if name == "bytes" => ("must be a valid IPv6 address".to_owned(), Test::Sizes(&[16])),
        ("uuid", _) if name == "bytes" => ("must be a valid UUID".to_owned(), Test::Sizes(&[16])),
        ("lt_now" | "gt_now" | "within", _) => return Err("it compares with the time of the call, which is not supported".to_owned()),
        (rule, _) if name == "string" => match formats::find(rule) {
            Some((what, is)) => (format!("must be {what}"), Test::Format(is)),
            None => return Err(NOT_KNOWN.to_owned()),
        },
        _ => return Err(NOT_KNOWN.to_owned()),
    })
}

fn constants(values: &[Reflected]) -> Box<[Constant]> {
    values.iter().map(Constant::of).collect()
}

fn listed(values: &[Reflected]) -> String {
    let values: Vec<String> = values.iter().map(|value| Constant::of(value).to_string()).collect();
    format!("[{}]", values.join(", "))
}

/// `well_known_regex` with what `strict` makes of it.
fn header(number: i32, rules: &DynamicMessage) -> Option<Check> {
    let strict = rules.fields().all(|(field, value)| field.name() != "strict" || value.as_bool() == Some(true));
    let (name, what, is): (_, _, fn(&str) -> bool) = match (number, strict) {
        (1, true) => formats::find("well_known_regex.header_name").map(|(what, is)| ("header_name", what, is))?,
        (1, false) => ("header_name", "a valid HTTP header name", |text| !text.is_empty() && formats::is_header_loosely(text)),
        (2, true) => ("header_value", "a valid HTTP header value", formats::is_header_value),
        (2, false) => ("header_value", "a valid HTTP header value", formats::is_header_loosely),
        _ => return None,
    };
    Some(Check { rule: format!("string.well_known_regex.{name}"), says: format!("must be {what}"), test: Test::Format(is) })
}
