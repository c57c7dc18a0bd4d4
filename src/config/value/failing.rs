//! How failures are spoken of: codes, shares, and whether a call may be repeated.

use super::quantity::{decimal, or_word};
use super::{Problem, Value};
use crate::config::grammar::Shape;
use crate::failure::Code;

/// A share of a hundred: `50%`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Share(pub u32);

/// A code of gRPC that is no success: `UNAVAILABLE`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FailureCode(pub Code);

/// Whether a call may be made again as if it had been made once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Idempotent {
    Yes,
    No,
    /// If the client gives it an `idempotency_key`.
    ByKey,
}

// === impl Share ===

impl Value for Share {
    const WHAT: &'static str = "a share";
    const EXAMPLE: &'static str = "`50%`";
    const PATTERN: &'static str = "0*(100|[0-9]{1,2})%";

    fn parse(text: &str) -> Result<Share, Problem> {
        let number = text.strip_suffix('%').ok_or_else(|| Problem::new("no `%` at its end"))?;
        match decimal(number)? {
            percent @ 0..=100 => Ok(Share(percent as u32)),
            _ => Err(Problem::new("more than the whole")),
        }
    }
}

// === impl FailureCode ===

impl Value for FailureCode {
    const WHAT: &'static str = "a code of gRPC for failures";
    const EXAMPLE: &'static str = "`UNAVAILABLE`";
    const PATTERN: &'static str = concat!(
        "CANCELLED|UNKNOWN|INVALID_ARGUMENT|DEADLINE_EXCEEDED|NOT_FOUND|ALREADY_EXISTS|PERMISSION_DENIED|RESOURCE_EXHAUSTED|",
        "FAILED_PRECONDITION|ABORTED|OUT_OF_RANGE|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS|UNAUTHENTICATED"
    );

    fn parse(text: &str) -> Result<FailureCode, Problem> {
        let known = || (1..=16).map(Code::from_number);
        known().find(|code| code.name() == text).map(FailureCode).ok_or_else(|| {
            let names: Vec<_> = known().map(Code::name).collect();
            Problem::new("not one of the codes").help(format!("there is {}", names.join(", ")))
        })
    }
}

// === impl Idempotent ===

impl Value for Idempotent {
    const WHAT: &'static str = "a word on whether a call may be repeated";
    const EXAMPLE: &'static str = "`true`, `false` or `by_key`";
    const PATTERN: &'static str = "true|false|by_key";

    fn parse(text: &str) -> Result<Idempotent, Problem> {
        match text {
            "true" => Ok(Idempotent::Yes),
            "false" => Ok(Idempotent::No),
            "by_key" => Ok(Idempotent::ByKey),
            _ => Err(Problem::new("none of the three")),
        }
    }

    fn shape() -> Shape {
        or_word(Shape::Bool, Idempotent::WHAT, "by_key")
    }
}
