//! What was reserved stays so: old clients still send it, or know it by what it meant.

use prost_reflect::{EnumDescriptor, MessageDescriptor};

use super::{Codec, Finding, Verdict};

/// Whole numbers, both ends included.
type Range = (i64, i64);

// === impl Finding ===

impl Finding {
    pub(super) fn reserved_of_messages(&mut self, before: &MessageDescriptor, after: &MessageDescriptor) {
        let ranges = |message: &MessageDescriptor| -> Vec<Range> {
            message.reserved_ranges().map(|range| (range.start.into(), i64::from(range.end) - 1)).collect()
        };
        let names = |message: &MessageDescriptor| message.reserved_names().map(str::to_owned).collect();
        let of = before.full_name();
        self.reserved("RESERVED_MESSAGE_NO_DELETE", of, (ranges(before), names(before)), (ranges(after), names(after)));
    }

    pub(super) fn reserved_of_enums(&mut self, before: &EnumDescriptor, after: &EnumDescriptor) {
        let ranges = |values: &EnumDescriptor| -> Vec<Range> {
            values.reserved_ranges().map(|range| ((*range.start()).into(), (*range.end()).into())).collect()
        };
        let names = |values: &EnumDescriptor| values.reserved_names().map(str::to_owned).collect();
        let of = before.full_name();
        self.reserved("RESERVED_ENUM_NO_DELETE", of, (ranges(before), names(before)), (ranges(after), names(after)));
    }

    fn reserved(&mut self, rule: &'static str, of: &str, was: (Vec<Range>, Vec<String>), is: (Vec<Range>, Vec<String>)) {
        for (first, last) in was.0.into_iter().filter(|range| !is_covered(*range, &is.0)) {
            let what = match first == last {
                true => format!("the number {first} of `{of}` was reserved, and is no longer"),
                false => format!("the numbers {first} to {last} of `{of}` were reserved, and are no longer"),
            };
            self.note(Verdict::Breaks(Codec::Proto), rule, what);
        }
        for name in was.1.into_iter().filter(|name| !is.1.contains(name)) {
            self.note(Verdict::Breaks(Codec::Json), rule, format!("the name `{name}` of `{of}` was reserved, and is no longer"));
        }
    }
}

/// Whether every number of a range is in one of others, which may be in any order and meet.
fn is_covered((mut first, last): Range, by: &[Range]) -> bool {
    while first <= last {
        match by.iter().filter(|(start, end)| (*start..=*end).contains(&first)).map(|(_, end)| *end).max() {
            Some(end) => first = end + 1,
            None => return false,
        }
    }
    true
}
