//! What may become of the values of an enum: bytes hold numbers, JSON holds names.

use std::collections::BTreeSet;

use prost_reflect::EnumDescriptor;

use super::{Codec, Finding, Verdict, Way};

// === impl Finding ===

impl Finding {
    pub(super) fn enums(&mut self, before: &EnumDescriptor, after: &EnumDescriptor) {
        let numbers = |values: &EnumDescriptor| values.values().map(|value| value.number()).collect::<BTreeSet<i32>>();
        let (was, is) = (numbers(before), numbers(after));
        for number in &was {
            match is.contains(number) {
                true => self.same_number(*number, before, after),
                false => names(before, *number).iter().for_each(|name| self.number_gone(*number, name, before, after)),
            }
        }
        for number in is.difference(&was) {
            let what = format!("{} is new", named(*number, &written(after, *number), after));
            self.note(Verdict::Changes, "ENUM_VALUE_NEW", what);
        }
        self.reserved_of_enums(before, after);
    }

    fn number_gone(&mut self, number: i32, name: &str, before: &EnumDescriptor, after: &EnumDescriptor) {
        let has_number = after.reserved_ranges().any(|range| range.contains(&number));
        let has_name = after.reserved_names().any(|reserved| reserved == name);
        let value = named(number, name, before);
        let (verdict, rule, what) = match (after.get_value_by_name(name), has_number, has_name) {
            (Some(moved), has_number, _) => {
                let verdict = if has_number { Verdict::Tightens } else { Verdict::Breaks(Codec::Proto) };
                (verdict, "ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED", format!("{value} has another number, {}", moved.number()))
            }
            (None, false, false) => {
                let what = format!("{value} is gone, and neither its number nor its name is reserved");
                (Verdict::Breaks(Codec::Both), "ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED", what)
            }
            (None, false, true) => {
                let what = format!("{value} is gone, and its number is not reserved");
                (Verdict::Breaks(Codec::Proto), "ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED", what)
            }
            (None, true, false) => {
                let what = format!("{value} is gone, and its name is not reserved");
                (Verdict::Breaks(Codec::Json), "ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED", what)
            }
            (None, true, true) => (Verdict::Tightens, "ENUM_VALUE_NO_DELETE", format!("{value} is gone and reserved")),
        };
        self.note(verdict, rule, what);
    }

    /// JSON is read by any name of a number, and written by one.
    fn same_number(&mut self, number: i32, before: &EnumDescriptor, after: &EnumDescriptor) {
        let is = written(after, number);
        let heard = if self.way == Way::FromClients { names(before, number) } else { vec![written(before, number)] };
        for name in &heard {
            let value = named(number, name, before);
            let (codec, what) = match after.get_value_by_name(name) {
                Some(moved) if moved.number() != number => (Codec::Proto, format!("{value} has another number, {}", moved.number())),
                Some(_) if self.way == Way::FromClients || is == *name => continue,
                Some(_) => (Codec::Json, format!("{value} is written `{is}` in JSON")),
                None => (Codec::Json, format!("{value} is called `{is}`")),
            };
            self.note(Verdict::Breaks(codec), "ENUM_VALUE_SAME_NAME", what);
        }
    }
}

/// The name by which a number that the enum has is written.
fn written(values: &EnumDescriptor, number: i32) -> String {
    values.get_value(number).map_or_else(String::new, |value| value.name().to_owned())
}

/// Every name of a number.
fn names(values: &EnumDescriptor, number: i32) -> Vec<String> {
    values.values().filter(|value| value.number() == number).map(|value| value.name().to_owned()).collect()
}

/// Such as ``value 2 `RED` of `a.Color` ``.
fn named(number: i32, name: &str, values: &EnumDescriptor) -> String {
    format!("value {number} `{name}` of `{}`", values.full_name())
}
