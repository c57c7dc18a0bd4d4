//! The programs of all message types of a pool: which fields are looked at, and what is asked of each.
//!
//! Promise: a type that has no rules, and leads to none, has no program.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value as Reflected};

use super::check::{Bound, Check, Range, Test};
use super::constant::Datum;
use super::field::{self, Asked, Ignore, Refused};
use super::options::{self, Options};
use super::types::Reads;
use super::{RuleProblem, constant::Constant};

/// The programs of one pool.
#[derive(Default)]
pub(in crate::proto) struct Rules {
    programs: Vec<Program>,
    by_name: HashMap<String, u32>,
    problems: BTreeMap<String, Vec<RuleProblem>>,
}

/// What is asked of messages of one type.
#[derive(Default)]
pub(super) struct Program {
    /// By number, ascending.
    pub fields: Vec<Looked>,
    pub choices: Vec<Choice>,
}

/// A field that is looked at.
pub(super) struct Looked {
    pub number: u32,
    pub name: Box<str>,
    /// An absent value can be told from a default one.
    pub presence: bool,
    pub required: bool,
    /// Nothing else is asked while it is not set.
    pub skip_unset: bool,
    /// Places of the fields that this one clears, because they share a oneof.
    pub clears: Vec<usize>,
    pub content: Content,
}

pub(super) enum Content {
    One(Element),
    List { element: Element, sizes: Vec<Check>, unique: bool },
    Map { key: Element, value: Element, sizes: Vec<Check> },
}

/// What is asked of one value.
pub(super) struct Element {
    pub reads: Reads,
    pub skip: Option<Constant>,
    pub checks: Vec<Check>,
    /// The program of a message, by its place.
    pub inside: Option<u32>,
}

/// How many of some fields may be set.
pub(super) struct Choice {
    /// Places of the fields.
    pub members: Vec<usize>,
    pub required: bool,
    /// Its own name, when it has one.
    pub name: Box<str>,
    pub rule: &'static str,
    pub at_most: String,
    pub at_least: String,
}

struct Compiler<'a> {
    options: &'a Options,
    /// Types that have a program.
    by_name: &'a HashMap<String, u32>,
    problems: Vec<RuleProblem>,
}

// === impl Rules ===

impl Rules {
    pub fn compile(pool: &DescriptorPool, options: &Options) -> Rules {
        if options.is_empty() {
            return Rules::default();
        }
        let messages = judged(pool, options);
        let by_name: HashMap<String, u32> = messages.iter().map(|message| message.full_name().to_owned()).zip(0..).collect();
        let mut problems = BTreeMap::new();
        let programs = messages.iter().map(|message| {
            let mut compiler = Compiler { options, by_name: &by_name, problems: Vec::new() };
            let program = compiler.program(message);
            problems.insert(message.full_name().to_owned(), compiler.problems);
            program
        });
        Rules { programs: programs.collect(), problems, by_name }
    }

    /// The program of a type, if it has one.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(super) fn program(&self, index: u32) -> &Program {
        &self.programs[index as usize]
    }

    /// What cannot be enforced in messages of this type, and in what they hold.
    pub fn problems(&self, root: &MessageDescriptor) -> Vec<RuleProblem> {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        let mut open = vec![root.clone()];
        while let Some(message) = open.pop() {
            if !self.by_name.contains_key(message.full_name()) || !seen.insert(message.full_name().to_owned()) {
                continue;
            }
            found.extend(self.problems.get(message.full_name()).into_iter().flatten().cloned());
            open.extend(message.fields().filter_map(|field| inner(&field)));
        }
        found.sort();
        found
    }
}

/// The message that values of the field are, be it one, a list or a map of them.
fn inner(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind().as_message().cloned(),
        Kind::Message(message) => Some(message),
        _ => None,
    }
}

/// Every type that has rules or leads to one that has.
fn judged(pool: &DescriptorPool, options: &Options) -> Vec<MessageDescriptor> {
    let has_rules = |message: &MessageDescriptor| {
        options.messages.contains_key(message.full_name())
            || message.fields().any(|field| options.fields.contains_key(field.full_name()))
            || message.extensions().any(|field| options.fields.contains_key(field.full_name()))
            || message.oneofs().any(|oneof| options.oneofs.contains_key(oneof.full_name()))
    };
    let messages: Vec<MessageDescriptor> = pool.all_messages().filter(|message| !message.is_map_entry()).collect();
    let mut holders: HashMap<String, Vec<String>> = HashMap::new();
    for message in &messages {
        for inner in message.fields().filter_map(|field| inner(&field)) {
            holders.entry(inner.full_name().to_owned()).or_default().push(message.full_name().to_owned());
        }
    }
    let mut found = HashSet::new();
    let mut open: Vec<String> =
        messages.iter().filter(|message| has_rules(message)).map(|message| message.full_name().to_owned()).collect();
    while let Some(name) = open.pop() {
        if !found.contains(&name) {
            open.extend(holders.get(&name).into_iter().flatten().cloned());
            found.insert(name);
        }
    }
    messages.into_iter().filter(|message| found.contains(message.full_name())).collect()
}

// === impl Compiler ===

impl Compiler<'_> {
    fn program(&mut self, message: &MessageDescriptor) -> Program {
        let own = self.decoded("MessageRules", message.full_name(), self.options.messages.get(message.full_name()));
        let chosen: HashSet<String> = own.iter().flat_map(oneof_rules).flat_map(|(fields, _)| fields).collect();
        let mut looked: BTreeMap<u32, Looked> = BTreeMap::new();
        for field in message.fields() {
            let rules = self.decoded("FieldRules", field.full_name(), self.options.fields.get(field.full_name()));
            let in_choice = chosen.contains(field.name());
            let compiled = self.field(&field, rules.as_ref(), in_choice);
            if compiled.asks() || in_choice {
                looked.insert(field.number(), compiled);
            }
        }
        // What a oneof clears must be known, even if nothing else is asked of who clears it.
        for oneof in message.oneofs() {
            let asked = self.options.oneofs.contains_key(oneof.full_name());
            if asked || oneof.fields().any(|field| looked.contains_key(&field.number())) {
                for field in oneof.fields() {
                    looked.entry(field.number()).or_insert_with(|| Looked::only(&field));
                }
            }
        }
        let mut fields: Vec<Looked> = looked.into_values().collect();
        let places: HashMap<u32, usize> = fields.iter().map(|field| field.number).zip(0..).collect();
        let mut choices = Vec::new();
        for oneof in message.oneofs() {
            let members: Vec<usize> = oneof.fields().filter_map(|field| places.get(&field.number()).copied()).collect();
            for place in &members {
                fields[*place].clears = members.iter().copied().filter(|other| other != place).collect();
            }
            let rules = self.decoded("OneofRules", oneof.full_name(), self.options.oneofs.get(oneof.full_name()));
            if rules.is_some_and(|rules| rules.get_field_by_name("required").is_some_and(|value| value.as_bool() == Some(true))) {
                choices.push(Choice::oneof(oneof.name(), members));
            }
        }
        for (names, required) in own.iter().flat_map(oneof_rules) {
            let members: Option<Vec<usize>> =
                names.iter().map(|name| places.get(&message.get_field_by_name(name)?.number()).copied()).collect();
            match members.filter(|members| !members.is_empty()) {
                Some(members) => choices.push(Choice::listed(&names, members, required)),
                None => self.refuse(message.full_name(), "message.oneof", "it names fields that the message does not have"),
            }
        }
        if own.is_some_and(|own| own.fields().any(|(field, _)| field.name().starts_with("cel"))) {
            self.refuse(message.full_name(), "cel", "CEL expressions are not supported");
        }
        for extension in message.extensions() {
            if self.options.fields.contains_key(extension.full_name()) {
                self.refuse(extension.full_name(), "field", "rules of extensions are not supported");
            }
        }
        Program { fields, choices }
    }

    /// Decodes options; what is in them that this program does not know is reported.
    fn decoded(&mut self, kind: &str, subject: &str, bytes: Option<&Vec<u8>>) -> Option<DynamicMessage> {
        let Some(decoded) = options::decode(kind, bytes?) else {
            self.refuse(subject, kind, "the option is broken");
            return None;
        };
        if kind != "FieldRules" {
            let mut refused = Vec::new();
            field::unknown(&decoded, "", &mut refused);
            self.report(subject, refused);
        }
        Some(decoded)
    }

    fn field(&mut self, field: &FieldDescriptor, rules: Option<&DynamicMessage>, in_choice: bool) -> Looked {
        let mut asked = self.asked(field, &field.kind(), whole(field), rules);
        if in_choice && !rules.is_some_and(|rules| rules.has_field_by_name("ignore")) {
            asked.ignore = Ignore::IfZero;
        }
        let ignored = asked.ignore == Ignore::Always;
        let part =
            |name: &str| asked.whole.as_ref().filter(|whole| whole.has_field_by_name(name)).and_then(|whole| whole.get_field_by_name(name));
        let number = |name: &str| part(name).and_then(|value| value.as_u64());
        let content = if field.is_map() {
            let kind = field.kind();
            let entry = kind.as_message().expect("a map is a list of entries");
            let [keys, values] = ["keys", "values"].map(|name| part(name).and_then(|rules| rules.as_message().cloned()));
            let sizes = sizes("map", "pairs", &number);
            let key = self.element(field, &entry.map_entry_key_field().kind(), keys.as_ref(), ignored);
            let value = self.element(field, &entry.map_entry_value_field().kind(), values.as_ref(), ignored);
            Content::Map { key, value, sizes }
        } else if field.is_list() {
            let items = part("items").and_then(|rules| rules.as_message().cloned());
            let unique = part("unique").is_some_and(|value| value.as_bool() == Some(true));
            let sizes = sizes("repeated", "items", &number);
            if unique && field.kind().as_message().is_some() {
                self.refuse(field.full_name(), "repeated.unique", "messages are not compared");
            }
            Content::List { element: self.element(field, &field.kind(), items.as_ref(), ignored), sizes, unique }
        } else {
            let inside = self.inside(&field.kind()).filter(|_| !ignored);
            Content::One(Element { reads: Reads::of(&field.kind()), skip: None, checks: std::mem::take(&mut asked.checks), inside })
        };
        Looked {
            required: asked.required,
            skip_unset: field.supports_presence() || asked.ignore == Ignore::IfZero,
            content,
            ..Looked::only(field)
        }
    }

    fn element(&mut self, field: &FieldDescriptor, kind: &Kind, rules: Option<&DynamicMessage>, ignored: bool) -> Element {
        let asked = self.asked(field, kind, None, rules);
        let skip = (asked.ignore == Ignore::IfZero && kind.as_message().is_none()).then(|| zero(kind));
        let inside = self.inside(kind).filter(|_| asked.ignore != Ignore::Always && !ignored);
        Element { reads: Reads::of(kind), skip, checks: asked.checks, inside }
    }

    fn asked(&mut self, field: &FieldDescriptor, kind: &Kind, whole: Option<&str>, rules: Option<&DynamicMessage>) -> Asked {
        let Some(rules) = rules else { return Asked::default() };
        let mut refused = Vec::new();
        let asked = field::read(rules, kind, whole, &mut refused);
        self.report(field.full_name(), refused);
        asked
    }

    fn inside(&self, kind: &Kind) -> Option<u32> {
        self.by_name.get(kind.as_message()?.full_name()).copied()
    }

    fn report(&mut self, subject: &str, refused: Vec<Refused>) {
        refused.into_iter().for_each(|(rule, why)| self.refuse(subject, &rule, &why));
    }

    fn refuse(&mut self, subject: &str, rule: &str, why: &str) {
        self.problems.push(RuleProblem { subject: subject.to_owned(), rule: rule.to_owned(), why: why.to_owned() });
    }
}

/// The rules that are about a list or a map as a whole.
fn whole(field: &FieldDescriptor) -> Option<&'static str> {
    if field.is_map() { Some("map") } else { field.is_list().then_some("repeated") }
}

/// What is asked of the number of elements: `min_items`, `max_pairs` and so on.
fn sizes(name: &str, what: &str, number: &dyn Fn(&str) -> Option<u64>) -> Vec<Check> {
    let bound = |number: u64| Some(Bound { at: Constant::Int(number.into()), included: true });
    let check = |(rule, says, number), range| {
        let number: u64 = number;
        Check { rule: format!("{name}.{rule}_{what}"), says: format!("must contain {says} {number} {what}"), test: Test::Range(range) }
    };
    let least = number(&format!("min_{what}")).map(|least| check(("min", "at least", least), Range { lower: bound(least), upper: None }));
    let most = number(&format!("max_{what}")).map(|most| check(("max", "no more than", most), Range { lower: None, upper: bound(most) }));
    least.into_iter().chain(most).collect()
}

/// The value that `IGNORE_IF_ZERO_VALUE` ignores.
fn zero(kind: &Kind) -> Constant {
    match (kind, Reads::of(kind).zero()) {
        (Kind::Enum(values), _) => Constant::Int(values.default_value().number().into()),
        (_, Datum::Bool(value)) => Constant::Bool(value),
        (_, Datum::Int(value)) => Constant::Int(value),
        (_, Datum::Float(value)) => Constant::Float(value),
        (_, Datum::Text(text)) => Constant::Text(text.into()),
        (_, Datum::Bytes(bytes)) => Constant::Bytes(bytes.into()),
    }
}

/// The rules `oneof` of a message: which fields, and whether one must be set.
fn oneof_rules(own: &DynamicMessage) -> Vec<(Vec<String>, bool)> {
    let rules = own.get_field_by_name("oneof");
    let rules = rules.as_ref().and_then(|rules| rules.as_list()).unwrap_or_default();
    let rules = rules.iter().filter_map(Reflected::as_message).map(|rule| {
        let fields = rule.get_field_by_name("fields");
        let fields = fields.as_ref().and_then(|fields| fields.as_list()).unwrap_or_default();
        let names = fields.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        (names, rule.get_field_by_name("required").is_some_and(|value| value.as_bool() == Some(true)))
    });
    rules.collect()
}

// === impl Looked ===

impl Looked {
    /// A field of which nothing is asked.
    fn only(field: &FieldDescriptor) -> Looked {
        let element = |kind: &Kind| Element { reads: Reads::of(kind), skip: None, checks: Vec::new(), inside: None };
        let kind = field.kind();
        let content = match (&kind, field.is_list()) {
            (Kind::Message(entry), _) if field.is_map() => Content::Map {
                key: element(&entry.map_entry_key_field().kind()),
                value: element(&entry.map_entry_value_field().kind()),
                sizes: Vec::new(),
            },
            (kind, true) => Content::List { element: element(kind), sizes: Vec::new(), unique: false },
            (kind, false) => Content::One(element(kind)),
        };
        Looked {
            number: field.number(),
            name: field.name().into(),
            presence: field.supports_presence(),
            required: false,
            skip_unset: true,
            clears: Vec::new(),
            content,
        }
    }

    fn asks(&self) -> bool {
        self.required
            || match &self.content {
                Content::One(element) => element.asks(),
                Content::List { element, sizes, unique } => *unique || !sizes.is_empty() || element.asks(),
                Content::Map { key, value, sizes } => !sizes.is_empty() || key.asks() || value.asks(),
            }
    }
}

// === impl Element ===

impl Element {
    fn asks(&self) -> bool {
        !self.checks.is_empty() || self.inside.is_some()
    }
}

// === impl Choice ===

impl Choice {
    /// A oneof of protobuf that must be set.
    fn oneof(name: &str, members: Vec<usize>) -> Choice {
        let at_least = "must have one of its fields set".to_owned();
        Choice { members, required: true, name: name.into(), rule: "required", at_most: String::new(), at_least }
    }

    /// Fields that a message lists under `oneof`.
    fn listed(names: &[String], members: Vec<usize>, required: bool) -> Choice {
        let names = names.join("`, `");
        let (at_most, at_least) = (format!("only one of `{names}` can be set"), format!("one of `{names}` must be set"));
        Choice { members, required, name: "".into(), rule: "message.oneof", at_most, at_least }
    }
}
