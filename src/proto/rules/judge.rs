//! Runs a program over a message that a [`Walk`](crate::proto::Walk) has accepted.
//!
//! A message may lie on the wire in several parts, which protobuf merges. So each is read in two steps: all parts are gone through once,
//! which leaves in a slot for each field what a decoder would keep of it, and then the slots are judged. What lies deeper is read when
//! it is certain to stay.

use std::collections::{HashMap, HashSet};

use smallvec::SmallVec;

use super::check::Check;
use super::compile::{Choice, Content, Element, Looked, Rules};
use super::constant::{Datum, Same};
use super::types::{Holds, Reads};
use super::violations::{At, Path, Violation, Violations};
use crate::proto::read::{self, Wire};

/// Fields of one type that are judged without an allocation.
pub(in crate::proto) const INLINE: usize = 32;

/// What is kept of a field.
#[derive(Clone)]
enum Slot<'m> {
    Unset,
    Raw(Raw<'m>),
    /// The parts of a message.
    Parts(Parts<'m>),
    /// How many elements a list has, which are judged as they come.
    Count(u32),
    Entries(Vec<&'m [u8]>),
}

/// A value as it lies on the wire.
#[derive(Clone, Copy)]
enum Raw<'m> {
    Bits(u64),
    Bytes(&'m [u8]),
}

type Parts<'m> = SmallVec<[&'m [u8]; 1]>;

struct Judge<'r> {
    rules: &'r Rules,
    found: Violations,
}

/// The elements of a list that must not be there twice.
#[derive(Default)]
struct Seen<'m> {
    elements: HashSet<Same<'m>, foldhash::fast::RandomState>,
    twice: bool,
}

/// Judges `message` by the program at `root`.
pub(in crate::proto) fn judge(rules: &Rules, root: u32, message: &[u8]) -> Result<(), Violations> {
    let mut judge = Judge { rules, found: Violations::default() };
    judge.message(root, &[message], None);
    if judge.found.is_empty() { Ok(()) } else { Err(judge.found) }
}

// === impl Judge ===

impl<'r> Judge<'r> {
    fn message<'m>(&mut self, program: u32, parts: &[&'m [u8]], above: Option<&Path<'_>>) {
        let program = self.rules.program(program);
        let mut slots: SmallVec<[Slot<'m>; INLINE]> = SmallVec::from_elem(Slot::Unset, program.fields.len());
        let mut seen: SmallVec<[(usize, Seen<'m>); 1]> = SmallVec::new();
        for part in parts {
            for field in fields(part) {
                let Ok(place) = program.fields.binary_search_by_key(&field.number, |looked| looked.number) else { continue };
                let looked = &program.fields[place];
                looked.clears.iter().for_each(|other| slots[*other] = Slot::Unset);
                let slot = &mut slots[place];
                let mut body = &part[field.body];
                match &looked.content {
                    Content::One(Element { reads: Reads::Message(_), .. }) => match slot {
                        Slot::Parts(parts) => parts.push(body),
                        _ => *slot = Slot::Parts(SmallVec::from_buf([body])),
                    },
                    Content::One(_) => *slot = Slot::Raw(raw(field.wire, &mut body)),
                    Content::Map { .. } => match slot {
                        Slot::Entries(entries) => entries.push(body),
                        _ => *slot = Slot::Entries(vec![body]),
                    },
                    Content::List { element, unique, .. } => {
                        let count = if let Slot::Count(count) = slot { *count } else { 0 };
                        let seen = unique.then(|| seen_at(&mut seen, place));
                        *slot = Slot::Count(count + self.elements(element, (field.wire, body), count, seen, (looked, above)));
                    }
                }
            }
        }
        for (place, (looked, slot)) in program.fields.iter().zip(&slots).enumerate() {
            if self.found.is_full() {
                return;
            }
            self.field(looked, slot, above);
            if seen.iter().any(|(unique, seen)| *unique == place && seen.twice) {
                self.broken(&path(looked, At::Whole, above), "repeated.unique", "must contain unique items");
            }
        }
        for choice in &program.choices {
            let set = choice.members.iter().filter(|place| is_set(&program.fields[**place], &slots[**place])).count();
            self.choice(choice, set, above);
        }
    }

    /// Judges one occurrence of a list: an element, or many that are packed. Answers how many.
    fn elements<'m>(
        &mut self,
        element: &Element,
        (wire, mut body): (Wire, &'m [u8]),
        before: u32,
        mut seen: Option<&mut Seen<'m>>,
        (looked, above): (&Looked, Option<&Path<'_>>),
    ) -> u32 {
        let mut count = 0;
        let mut judge = |judge: &mut Self, raw: Raw<'m>| {
            if let (Some(seen), Some(same)) = (&mut seen, datum(element.reads, raw).same()) {
                seen.twice |= !seen.elements.insert(same);
            }
            judge.element(element, &[raw], &path(looked, At::Element(before + count), above), "");
            count += 1;
        };
        match element.reads {
            Reads::Number(_, one) if wire == Wire::Len => packed(one, body).for_each(|raw| judge(self, raw)),
            Reads::Number(..) => judge(self, raw(wire, &mut body)),
            Reads::Text | Reads::Bytes | Reads::Message(_) => judge(self, Raw::Bytes(body)),
        }
        count
    }

    fn field(&mut self, looked: &Looked, slot: &Slot<'_>, above: Option<&Path<'_>>) {
        if !is_set(looked, slot) {
            if looked.required {
                return self.broken(&path(looked, At::Whole, above), "required", "must be set");
            }
            if looked.skip_unset {
                return;
            }
        }
        let whole = path(looked, At::Whole, above);
        match (&looked.content, slot) {
            (Content::One(element), Slot::Raw(raw)) => self.element(element, &[*raw], &whole, ""),
            (Content::One(element), Slot::Parts(parts)) => {
                let parts: SmallVec<[Raw<'_>; 1]> = parts.iter().map(|part| Raw::Bytes(part)).collect();
                self.element(element, &parts, &whole, "");
            }
            (Content::One(element), _) => self.checks(&element.checks, element.reads.zero(), &whole, ""),
            (Content::List { sizes, .. }, Slot::Count(count)) => self.checks(sizes, Datum::Int((*count).into()), &whole, ""),
            (Content::Map { key, value, sizes }, Slot::Entries(entries)) => self.map(entries, (key, value, sizes), (looked, above)),
            (Content::List { sizes, .. } | Content::Map { sizes, .. }, _) => self.checks(sizes, Datum::Int(0), &whole, ""),
        }
    }

    /// Judges the entries that stay: of those with the same key, the last.
    fn map(
        &mut self,
        entries: &[&[u8]],
        (key, value, sizes): (&Element, &Element, &[Check]),
        (looked, above): (&Looked, Option<&Path<'_>>),
    ) {
        let read: Vec<(Datum<'_>, SmallVec<[Raw<'_>; 1]>)> = entries.iter().map(|entry| self::entry(entry, key, value)).collect();
        let mut last: HashMap<Same<'_>, usize, foldhash::fast::RandomState> = HashMap::default();
        read.iter().enumerate().for_each(|(at, (key, _))| _ = key.same().and_then(|same| last.insert(same, at)));
        self.checks(sizes, Datum::Int(last.len() as i128), &path(looked, At::Whole, above), "");
        let entry_path = path(looked, At::Entry, above);
        for (at, (key_value, parts)) in read.iter().enumerate() {
            let stays = key_value.same().is_some_and(|same| last.get(&same) == Some(&at));
            if !stays || self.found.is_full() {
                continue;
            }
            self.scalar(key, *key_value, &entry_path, "has a key that ");
            self.element(value, parts, &entry_path, "");
        }
    }

    /// Judges one value, of which only a message has more or fewer parts than one.
    fn element(&mut self, element: &Element, parts: &[Raw<'_>], at: &Path<'_>, prefix: &str) {
        if self.found.is_full() {
            return;
        }
        match (element.reads, parts) {
            (Reads::Message(holds), parts) => {
                let bytes: SmallVec<[&[u8]; 1]> = parts.iter().map(|part| part.bytes()).collect();
                if !element.checks.is_empty() {
                    self.checks(&element.checks, held(holds, &bytes), at, prefix);
                }
                if let Some(inside) = element.inside {
                    self.message(inside, &bytes, Some(at));
                }
            }
            (_, []) => self.scalar(element, element.reads.zero(), at, prefix),
            (reads, [.., last]) => self.scalar(element, datum(reads, *last), at, prefix),
        }
    }

    fn scalar(&mut self, element: &Element, value: Datum<'_>, at: &Path<'_>, prefix: &str) {
        if element.skip.as_ref().is_none_or(|skip| skip.datum() != value) {
            self.checks(&element.checks, value, at, prefix);
        }
    }

    fn checks(&mut self, checks: &[Check], value: Datum<'_>, at: &Path<'_>, prefix: &str) {
        for check in checks.iter().filter(|check| !check.test.holds(value)) {
            let (rule, says) = check.broken_by(value);
            self.broken(at, &rule, &format!("{prefix}{says}"));
        }
    }

    fn choice(&mut self, choice: &Choice, set: usize, above: Option<&Path<'_>>) {
        let says = match set {
            0 if choice.required => &choice.at_least,
            0 | 1 => return,
            _ => &choice.at_most,
        };
        let field = match (above, &*choice.name) {
            (Some(above), "") => above.to_string(),
            (above, name) => Path { above, name, at: At::Whole }.to_string(),
        };
        self.found.push(Violation { field, rule: choice.rule.to_owned(), says: says.clone() });
    }

    fn broken(&mut self, at: &Path<'_>, rule: &str, says: &str) {
        self.found.push(Violation { field: at.to_string(), rule: rule.to_owned(), says: says.to_owned() });
    }
}

fn path<'p>(looked: &'p Looked, at: At, above: Option<&'p Path<'p>>) -> Path<'p> {
    Path { above, name: &looked.name, at }
}

fn seen_at<'s, 'm>(seen: &'s mut SmallVec<[(usize, Seen<'m>); 1]>, place: usize) -> &'s mut Seen<'m> {
    let at = seen.iter().position(|(known, _)| *known == place).unwrap_or_else(|| {
        seen.push((place, Seen::default()));
        seen.len() - 1
    });
    &mut seen[at].1
}

/// Whether a decoder would say that the field is set.
fn is_set(looked: &Looked, slot: &Slot<'_>) -> bool {
    match (slot, &looked.content) {
        (Slot::Unset, _) => false,
        (Slot::Raw(raw), Content::One(element)) => looked.presence || !datum(element.reads, *raw).is_zero(),
        (Slot::Count(count), _) => *count > 0,
        (Slot::Raw(_) | Slot::Parts(_) | Slot::Entries(_), _) => true,
    }
}

/// The key and the parts of the value of a map's entry.
fn entry<'m>(entry: &'m [u8], key: &Element, value: &Element) -> (Datum<'m>, SmallVec<[Raw<'m>; 1]>) {
    let mut found = key.reads.zero();
    let mut parts = SmallVec::new();
    for field in fields(entry) {
        let raw = || raw(field.wire, &mut &entry[field.body.clone()]);
        match field.number {
            1 => found = datum(key.reads, raw()),
            2 if matches!(value.reads, Reads::Message(_)) => parts.push(raw()),
            2 => parts = SmallVec::from_buf([raw()]),
            _ => {}
        }
    }
    (found, parts)
}

/// The value that a message stands for.
fn held<'m>(holds: Holds, parts: &[&'m [u8]]) -> Datum<'m> {
    let last = |number| {
        parts
            .iter()
            .flat_map(|part| fields(part).filter(move |field| field.number == number).map(|field| raw(field.wire, &mut &part[field.body])))
            .last()
    };
    let read = |reads: Reads| last(1).map_or(reads.zero(), |raw| datum(reads, raw));
    match holds {
        Holds::Nothing => Datum::Bytes(&[]),
        Holds::Number(decode) => decode.value(last(1).map_or(0, Raw::bits)).into(),
        Holds::Text => read(Reads::Text),
        Holds::Bytes => read(Reads::Bytes),
        Holds::Time => {
            let bits = |number| last(number).map_or(0, Raw::bits);
            Datum::time(bits(1) as i64, bits(2) as i32)
        }
    }
}

fn datum(reads: Reads, raw: Raw<'_>) -> Datum<'_> {
    match (reads, raw) {
        (Reads::Number(decode, _), raw) => decode.value(raw.bits()).into(),
        (Reads::Text, raw) => Datum::Text(std::str::from_utf8(raw.bytes()).expect("the walk has seen that texts are UTF-8")),
        (Reads::Bytes | Reads::Message(_), raw) => Datum::Bytes(raw.bytes()),
    }
}

/// The fields of a message, or of a part of one.
fn fields(part: &[u8]) -> impl Iterator<Item = read::Field> {
    read::fields(part).map(|field| field.expect("the walk has read this message to its end"))
}

/// The first value in `body`; a text, bytes or a message are all of it.
fn raw<'m>(wire: Wire, body: &mut &'m [u8]) -> Raw<'m> {
    let bits = match wire {
        Wire::Varint => read::varint(body),
        Wire::Fixed32 => read::array(body).map(|bytes| u32::from_le_bytes(bytes).into()),
        Wire::Fixed64 => read::array(body).map(u64::from_le_bytes),
        Wire::Len | Wire::StartGroup | Wire::EndGroup => return Raw::Bytes(body),
    };
    Raw::Bits(bits.expect("the walk has read this value"))
}

/// The numbers of a packed list.
fn packed<'m>(wire: Wire, mut body: &'m [u8]) -> impl Iterator<Item = Raw<'m>> {
    std::iter::from_fn(move || (!body.is_empty()).then(|| raw(wire, &mut body)))
}

// === impl Raw ===

impl<'m> Raw<'m> {
    fn bits(self) -> u64 {
        match self {
            Raw::Bits(bits) => bits,
            Raw::Bytes(_) => 0,
        }
    }

    fn bytes(self) -> &'m [u8] {
        match self {
            Raw::Bits(_) => &[],
            Raw::Bytes(bytes) => bytes,
        }
    }
}
