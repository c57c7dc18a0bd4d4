//! Walks a message once: is it what its type says, and what does it hold in the fields a route asks for.
//!
//! Promises: no allocation; accepts what `DynamicMessage::decode` accepts (tested against it), to the exact last byte, within the
//! bounds below; values follow protobuf: the last occurrence wins, occurrences of a message merge, a member of a oneof clears the others.
//!
//! It refuses one thing more: a map field whose wire type is not that of a map. prost reads its bytes as an entry all the same,
//! other implementations as an unknown field, and what was judged here must be what the backend reads.
//!
//! Where a route wants it, a message that is what its type says is then held against the rules of `buf.validate` (`rules`).
//!
//! As in prost-reflect, enum numbers that are not declared pass, and proto2's `required` is the backend's to judge.

use std::fmt;
use std::sync::Arc;

use super::program::{Action, Field, Layout, Shape, Shapes, Track, Watch};
use super::read::{self, Malformed, Wire};
use super::rules::{self, Rules};
use super::{FieldPath, MessageType, Value, Values, Violations};

/// Deepest nesting of messages and groups. Deeper than any schema people write; prost alone would go to 100.
pub const DEPTH_MAX: u32 = 32;

/// Most elements of all lists and maps of one message together. An element of one or two bytes costs a decoder up to 284 times that.
pub const ELEMENTS_MAX: u32 = 10_000;

/// Most fields that the type does not have. A few are a newer client; many are something hidden from the checks.
pub const UNKNOWN_MAX: u32 = 64;

/// The compiled check of one route's messages.
#[derive(Clone)]
pub struct Walk {
    shapes: Arc<Shapes>,
    root: u32,
    track: Option<Track>,
    extracts: usize,
    unknown_max: u32,
    /// The rules, and the place of the root's.
    rules: Option<(Arc<Rules>, u32)>,
}

#[derive(Clone, Copy, Default)]
pub struct WalkOptions {
    pub unknown_fields: UnknownFields,
    /// Whether the rules of `buf.validate` must be kept.
    pub validate: bool,
}

/// What to do with fields that the type does not have.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum UnknownFields {
    /// At most [`UNKNOWN_MAX`] pass, as protobuf wants it.
    #[default]
    Pass,
    /// One is too many.
    Reject,
}

/// Why a message is refused. Displays as a public sentence without the message's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WalkProblem {
    /// It is not what its type says.
    Malformed(Flaw),
    /// It is, and breaks rules.
    Rules(Violations),
}

/// What is wrong with the bytes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flaw {
    fault: Fault,
    /// The field it is about, in its own message; 0 when it is about none.
    field: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Key,
    Value,
    WireType,
    Utf8,
    GroupEnd,
    GroupOpen,
    Depth,
    Elements,
    Unknown,
}

/// One walk: the budgets that are left, and what was read.
struct Run<'p, 'v, 'm> {
    shapes: &'p Shapes,
    values: &'v mut Values<'m>,
    elements: u64,
    unknown: u32,
}

// === impl Walk ===

impl Walk {
    /// Values come in the order of `extract`. Only paths that are [scalar](FieldPath::is_scalar) can be read; others stay absent.
    pub fn compile(root: &MessageType, extract: &[FieldPath], options: WalkOptions) -> Walk {
        let shapes = Arc::clone(root.pool().shapes());
        let index = shapes.index(root.name()).expect("a pool's shapes cover all its messages");
        Walk {
            shapes,
            root: index,
            track: Track::compile(root.descriptor(), extract),
            extracts: extract.len(),
            unknown_max: if options.unknown_fields == UnknownFields::Reject { 0 } else { UNKNOWN_MAX },
            rules: options.validate.then(|| root.pool().rules()).and_then(|rules| Some((Arc::clone(rules), rules.find(root.name())?))),
        }
    }

    /// The check of a message that is printed. A newer backend may send many fields that our schema lacks, such as one in each row
    /// of a list, so they are bounded as elements are.
    pub(super) fn for_printing(root: &MessageType) -> Walk {
        Walk { unknown_max: ELEMENTS_MAX, ..Walk::compile(root, &[], WalkOptions::default()) }
    }

    /// Whether messages are held against rules of `buf.validate`.
    pub fn judges(&self) -> bool {
        self.rules.is_some()
    }

    /// Checks all of `message` and reads into `values`, which is overwritten; after a refusal it means nothing.
    pub fn run<'m>(&self, message: &'m [u8], values: &mut Values<'m>) -> Result<(), WalkProblem> {
        values.reset(self.extracts);
        let mut run = Run { shapes: &self.shapes, values, elements: ELEMENTS_MAX.into(), unknown: self.unknown_max };
        let shape = self.shapes.shape(self.root);
        run.fields(shape, self.track.as_ref(), message, 0, DEPTH_MAX - 1).map_err(WalkProblem::Malformed)?;
        match &self.rules {
            Some((rules, root)) => rules::judge(rules, *root, message).map_err(WalkProblem::Rules),
            None => Ok(()),
        }
    }
}

// === impl Run ===

impl<'p, 'm> Run<'p, '_, 'm> {
    /// Walks fields: to the end of `body` when `group` is 0, else to the end of that group. Answers how much of `body` is left.
    #[inline(always)]
    fn fields(&mut self, shape: &'p Shape, track: Option<&'p Track>, body: &'m [u8], group: u32, depth: u32) -> Result<usize, Flaw> {
        match track {
            Some(_) => self.fields_with::<true>(shape, track, body, group, depth),
            None => self.fields_with::<false>(shape, track, body, group, depth),
        }
    }

    /// The machine code of this loop is what walking costs. It exists twice, because most messages hold nothing that is read and the
    /// question alone would cost a fifth; `body` is never lent, so that it stays in registers; what is rare is not inlined.
    fn fields_with<const READS: bool>(
        &mut self,
        shape: &'p Shape,
        track: Option<&'p Track>,
        mut body: &'m [u8],
        group: u32,
        depth: u32,
    ) -> Result<usize, Flaw> {
        while !body.is_empty() {
            let Ok(key) = read::key(&mut body) else { return Err(Fault::Key.at(0)) };
            let number = key >> 3;
            let broken = |Malformed| Fault::Value.at(number);
            let field = shape.field(number);
            if key & 7 != u32::from(field.wire) {
                if key == group << 3 | Wire::EndGroup as u32 {
                    return Ok(body.len());
                }
                let left = self.odd(field, key, body, depth)?;
                body = &body[body.len() - left..];
                continue;
            }
            let watch = track.filter(|_| READS).and_then(|track| track.find(number));
            if let Some(watch) = watch {
                self.clear(watch);
            }
            match field.layout {
                Layout::Varint => {
                    let bits = read::varint(&mut body).map_err(broken)?;
                    if let Some(watch) = watch {
                        self.read_number(watch, bits);
                    }
                }
                Layout::String => {
                    let text = read::delimited(&mut body).map_err(broken)?;
                    match watch {
                        None if read::is_utf8(text) => {}
                        None => return Err(Fault::Utf8.at(number)),
                        Some(watch) => self.read(watch, Value::Str(std::str::from_utf8(text).map_err(|_| Fault::Utf8.at(number))?)),
                    }
                    self.count_if(field.repeated, number)?;
                }
                Layout::Message => {
                    let inner = read::delimited(&mut body).map_err(broken)?;
                    self.count_if(field.repeated, number)?;
                    let shape = self.shapes.shape(field.shape);
                    let depth = depth.checked_sub(u32::from(!shape.is_entry)).ok_or(Fault::Depth.at(number))?;
                    self.fields(shape, watch.and_then(Watch::track), inner, 0, depth)?;
                }
                Layout::PackedVarint => {
                    let packed = read::delimited(&mut body).map_err(broken)?;
                    self.count(read::count_varints(packed).map_err(broken)?, number)?;
                }
                Layout::PackedFixed32 | Layout::PackedFixed64 => {
                    let packed = read::delimited(&mut body).map_err(broken)?;
                    let size = if field.layout == Layout::PackedFixed32 { 4 } else { 8 };
                    if !packed.len().is_multiple_of(size) {
                        return Err(Fault::Value.at(number));
                    }
                    self.count((packed.len() / size) as u64, number)?;
                }
                Layout::Bytes => {
                    let bytes = read::delimited(&mut body).map_err(broken)?;
                    if let Some(watch) = watch {
                        self.read(watch, Value::Bytes(bytes));
                    }
                    self.count_if(field.repeated, number)?;
                }
                Layout::Fixed32 => {
                    let bits = read::array::<4>(&mut body).map_err(broken)?;
                    if let Some(watch) = watch {
                        self.read_number(watch, u32::from_le_bytes(bits).into());
                    }
                }
                Layout::Fixed64 => {
                    let bits = read::array::<8>(&mut body).map_err(broken)?;
                    if let Some(watch) = watch {
                        self.read_number(watch, u64::from_le_bytes(bits));
                    }
                }
                Layout::Group => {
                    self.count_if(field.repeated, number)?;
                    let depth = depth.checked_sub(1).ok_or(Fault::Depth.at(number))?;
                    let left = self.fields(self.shapes.shape(field.shape), watch.and_then(Watch::track), body, number, depth)?;
                    body = &body[body.len() - left..];
                }
                Layout::Unknown => return Err(Fault::WireType.at(number)),
            }
        }
        if group == 0 { Ok(0) } else { Err(Fault::GroupOpen.at(group)) }
    }

    /// Walks what is not laid out as its type says: an unknown field, or one element of a list of numbers. Answers what is left.
    #[inline(never)]
    fn odd(&mut self, field: &Field, key: u32, mut body: &'m [u8], depth: u32) -> Result<usize, Flaw> {
        let number = key >> 3;
        let skipped = match (field.layout, Wire::of(key).ok_or(Fault::Key.at(number))?) {
            (_, Wire::EndGroup) => return Err(Fault::GroupEnd.at(number)),
            (Layout::Unknown, wire) => return self.unknown(number, wire, &mut body, depth).map(|()| body.len()),
            (Layout::PackedVarint, Wire::Varint) => read::varint(&mut body).map(drop),
            (Layout::PackedFixed32, Wire::Fixed32) => read::array::<4>(&mut body).map(drop),
            (Layout::PackedFixed64, Wire::Fixed64) => read::array::<8>(&mut body).map(drop),
            _ => return Err(Fault::WireType.at(number)),
        };
        skipped.map_err(|Malformed| Fault::Value.at(number))?;
        self.count(1, number)?;
        Ok(body.len())
    }

    #[inline(never)]
    fn read_number(&mut self, watch: &Watch, bits: u64) {
        if let Action::Read(_, decode) = &watch.action {
            self.read(watch, decode.value(bits));
        }
    }

    #[inline(never)]
    fn read(&mut self, watch: &Watch, value: Value<'m>) {
        if let Action::Read(slots, _) = &watch.action {
            slots.iter().for_each(|slot| self.values.set(*slot, value));
        }
    }

    #[inline(always)]
    fn clear(&mut self, watch: &Watch) {
        watch.clears.iter().for_each(|slot| self.values.set(*slot, Value::Absent));
    }

    #[inline(always)]
    fn count_if(&mut self, repeated: bool, number: u32) -> Result<(), Flaw> {
        if repeated { self.count(1, number) } else { Ok(()) }
    }

    #[inline(always)]
    fn count(&mut self, elements: u64, number: u32) -> Result<(), Flaw> {
        self.elements = self.elements.checked_sub(elements).ok_or(Fault::Elements.at(number))?;
        Ok(())
    }

    /// Skips a field that the type does not have. What a group holds is unknown too, and counted.
    fn unknown(&mut self, number: u32, wire: Wire, body: &mut &'m [u8], depth: u32) -> Result<(), Flaw> {
        self.unknown = self.unknown.checked_sub(1).ok_or(Fault::Unknown.at(number))?;
        let skipped = match wire {
            Wire::Varint => read::varint(body).map(drop),
            Wire::Fixed32 => read::array::<4>(body).map(drop),
            Wire::Fixed64 => read::array::<8>(body).map(drop),
            Wire::Len => read::delimited(body).map(drop),
            Wire::StartGroup => {
                let depth = depth.checked_sub(1).ok_or(Fault::Depth.at(number))?;
                return self.unknown_group(number, body, depth);
            }
            Wire::EndGroup => Err(Malformed),
        };
        skipped.map_err(|Malformed| Fault::Value.at(number))
    }

    fn unknown_group(&mut self, group: u32, body: &mut &'m [u8], depth: u32) -> Result<(), Flaw> {
        loop {
            let key = read::key(body).map_err(|Malformed| Fault::GroupOpen.at(group))?;
            match Wire::of(key).ok_or(Fault::Key.at(0))? {
                Wire::EndGroup if key >> 3 == group => return Ok(()),
                wire => self.unknown(key >> 3, wire, body, depth)?,
            }
        }
    }
}

// === impl WalkProblem ===

impl fmt::Display for WalkProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalkProblem::Malformed(flaw) => flaw.fmt(f),
            WalkProblem::Rules(violations) => violations.fmt(f),
        }
    }
}

// === impl Flaw ===

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.field;
        match self.fault {
            Fault::Key => f.write_str("the bytes are not a message: a field's key is broken or cut off"),
            Fault::Value => write!(f, "field {field} is broken or cut off"),
            Fault::WireType => write!(f, "field {field} is not of the type that the schema says"),
            Fault::Utf8 => write!(f, "field {field} is a string but not UTF-8"),
            Fault::GroupEnd => write!(f, "a group {field} ends that did not begin"),
            Fault::GroupOpen => write!(f, "the group {field} does not end"),
            Fault::Depth => write!(f, "messages are nested more than {DEPTH_MAX} deep"),
            Fault::Elements => write!(f, "lists and maps hold more than {ELEMENTS_MAX} elements together"),
            Fault::Unknown => write!(f, "field {field} is not in the schema, and no more such fields may pass"),
        }
    }
}

// === impl Fault ===

impl Fault {
    fn at(self, field: u32) -> Flaw {
        Flaw { fault: self, field }
    }
}
