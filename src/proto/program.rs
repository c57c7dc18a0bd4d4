//! What a message type looks like on the wire, compiled to numbers.
//!
//! A program holds one table of fields per message type that can be reached from the root, so that reading a message needs no descriptor,
//! and a trie of the paths that somebody asked about. The trie is walked beside the tables, because one type may stand at several places
//! and a path means only one of them. Nothing here changes after compilation, and nothing here can fail.

use std::collections::HashMap;

use prost_reflect::{ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor};

/// Numbers below this are found by indexing; the few above by binary search.
const DENSE_MAX: u32 = 64;

/// The tables and the trie.
pub(super) struct Program {
    tables: Vec<Table>,
    /// The dense parts of all tables, one after another.
    dense: Vec<Field>,
    /// The sparse parts of all tables, each sorted by number.
    sparse: Vec<(u32, Field)>,
    /// Node 0 is the root, if there are any paths.
    nodes: Vec<Node>,
}

/// Where the fields of one message type are.
#[derive(Clone, Copy, Default)]
pub(super) struct Table {
    dense_from: u32,
    dense_length: u32,
    sparse_from: u32,
    sparse_length: u32,
}

/// One field as the wire sees it.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub shape: Shape,
    /// Repeated numbers may also come packed, whatever the schema prefers.
    pub packable: bool,
    /// The schema says that this must not be shown.
    pub secret: bool,
    /// The table of the message, group or map entry inside.
    pub table: u32,
}

/// How the value of a field is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Unknown,
    Varint,
    Fixed32,
    Fixed64,
    Text,
    Bytes,
    Message,
    Map,
    Group,
}

/// A place on the way of at least one path.
#[derive(Default)]
pub(super) struct Node {
    /// A bit for each number below 64 that has a step, so that the other fields pay for one test only.
    mask: u64,
    steps: Vec<Step>,
}

/// What to do at one field of one place.
#[derive(Default)]
pub(super) struct Step {
    number: u32,
    /// The place inside the message under this field.
    pub node: Option<u32>,
    /// The value that ends here, and the indexes it is asked for under.
    pub take: Option<(Scalar, Vec<u32>)>,
    /// The indexes that this field clears, because it shares a oneof with a field on their way.
    pub clears: Vec<u32>,
    /// A path to mask ends here.
    pub secret: bool,
}

/// How to decode a value that is taken out.
#[derive(Clone, Copy)]
pub(super) struct Scalar {
    pub form: Form,
    /// Whether the schema tells a default value from an absent one.
    pub presence: bool,
}

/// The forms in which a value can stand on the wire.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Bool,
    Int32,
    Int64,
    Sint32,
    Sint64,
    Uint32,
    Uint64,
    Fixed,
    Sfixed32,
    Sfixed64,
    Text,
    Bytes,
}

/// The compiler: a queue of types whose tables are still empty, because types refer to each other in circles.
struct Compiler {
    program: Program,
    indexes: HashMap<String, u32>,
    queue: Vec<MessageDescriptor>,
    /// Whether to read the options of fields, which is slow.
    secrets: bool,
}

// === impl Program ===

impl Program {
    /// Compiles the types reachable from `root`; with `secrets`, also which fields the schema marks `debug_redact`.
    pub fn compile(root: &MessageDescriptor, secrets: bool) -> Program {
        let program = Program { tables: Vec::new(), dense: Vec::new(), sparse: Vec::new(), nodes: Vec::new() };
        let mut compiler = Compiler { program, indexes: HashMap::new(), queue: Vec::new(), secrets };
        compiler.index(root);
        compiler.finish()
    }

    /// Asks for the value at the end of a path under an index. A path that passes a list or a map, or that ends in something that is not a
    /// scalar, has no single value: it stays absent.
    pub fn extract(&mut self, path: &[FieldDescriptor], index: u32) {
        let Some(scalar) = path.last().and_then(Scalar::of) else { return };
        if path.iter().any(|field| field.is_list() || field.is_map()) {
            return;
        }
        let mut node = self.root();
        for (place, field) in path.iter().enumerate() {
            for sibling in field.containing_oneof().iter().flat_map(|oneof| oneof.fields()).filter(|sibling| sibling != field) {
                self.step(node, sibling.number()).clears.push(index);
            }
            if place + 1 == path.len() {
                self.step(node, field.number()).take.get_or_insert((scalar, Vec::new())).1.push(index);
            } else {
                node = self.descend(node, field.number());
            }
        }
    }

    /// Marks what stands at the end of a path as secret, through lists and maps.
    pub fn hide(&mut self, path: &[FieldDescriptor]) {
        let Some((last, way)) = path.split_last() else { return };
        let mut node = self.root();
        for (place, field) in way.iter().enumerate() {
            node = self.descend(node, field.number());
            if let Some(entry) = field.kind().as_message().filter(|_| field.is_map()) {
                // A path may name the fields of a map's values without naming the entry between them.
                if path[place + 1].parent_message() != entry {
                    node = self.descend(node, 2);
                }
            }
        }
        self.step(node, last.number()).secret = true;
    }

    /// The table of the root type.
    pub fn start(&self) -> (Table, Option<u32>) {
        (self.tables[0], if self.nodes.is_empty() { None } else { Some(0) })
    }

    /// The table of a type inside.
    #[inline]
    pub fn table(&self, index: u32) -> Table {
        self.tables[index as usize]
    }

    /// The fields of a table with small numbers, by number. A reader of one message asks for them once.
    #[inline]
    pub fn near(&self, table: Table) -> &[Field] {
        &self.dense[table.dense_from as usize..][..table.dense_length as usize]
    }

    /// What a number means that is not among the near ones.
    pub fn far(&self, table: Table, number: u32) -> Field {
        let fields = &self.sparse[table.sparse_from as usize..][..table.sparse_length as usize];
        fields.binary_search_by_key(&number, |(number, _)| *number).map_or(Field::UNKNOWN, |place| fields[place].1)
    }

    /// A place of the paths.
    #[inline]
    pub fn node(&self, node: Option<u32>) -> Option<&Node> {
        node.map(|node| &self.nodes[node as usize])
    }

    fn root(&mut self) -> u32 {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        0
    }

    fn descend(&mut self, node: u32, number: u32) -> u32 {
        let fresh = length(&self.nodes);
        let inside = *self.step(node, number).node.get_or_insert(fresh);
        if inside == fresh {
            self.nodes.push(Node::default());
        }
        inside
    }

    fn step(&mut self, node: u32, number: u32) -> &mut Step {
        let node = &mut self.nodes[node as usize];
        if number < 64 {
            node.mask |= 1 << number;
        }
        let place = node.steps.binary_search_by_key(&number, |step| step.number).unwrap_or_else(|place| {
            node.steps.insert(place, Step { number, ..Step::default() });
            place
        });
        &mut node.steps[place]
    }
}

// === impl Compiler ===

impl Compiler {
    /// The index of a type's table, which is filled later if the type is new.
    fn index(&mut self, kind: &MessageDescriptor) -> u32 {
        if let Some(index) = self.indexes.get(kind.full_name()) {
            return *index;
        }
        let index = length(&self.program.tables);
        self.indexes.insert(kind.full_name().to_owned(), index);
        self.program.tables.push(Table::default());
        self.queue.push(kind.clone());
        index
    }

    fn finish(mut self) -> Program {
        let mut done = 0;
        while let Some(kind) = self.queue.get(done).cloned() {
            self.program.tables[done] = self.fill(&kind);
            done += 1;
        }
        self.program
    }

    fn fill(&mut self, kind: &MessageDescriptor) -> Table {
        let mut fields: Vec<(u32, Field)> = kind.fields().map(|field| (field.number(), self.field(&field))).collect();
        fields.extend(kind.extensions().map(|extension| (extension.number(), self.extension(&extension))));
        fields.sort_by_key(|(number, _)| *number);
        let split = fields.partition_point(|(number, _)| *number < DENSE_MAX);
        let (near, far) = fields.split_at(split);

        let table = Table {
            dense_from: length(&self.program.dense),
            dense_length: near.last().map_or(0, |(number, _)| number + 1),
            sparse_from: length(&self.program.sparse),
            sparse_length: length(far),
        };
        let mut dense = vec![Field::UNKNOWN; table.dense_length as usize];
        for (number, field) in near {
            dense[*number as usize] = *field;
        }
        self.program.dense.extend(dense);
        self.program.sparse.extend_from_slice(far);
        table
    }

    fn field(&mut self, field: &FieldDescriptor) -> Field {
        let secret = self.secrets && is_secret(&field.options());
        let kind = field.kind();
        if field.is_map() {
            Field { shape: Shape::Map, ..self.shaped(&kind, false, false, secret) }
        } else {
            self.shaped(&kind, field.is_list(), field.is_group(), secret)
        }
    }

    fn extension(&mut self, extension: &ExtensionDescriptor) -> Field {
        let secret = self.secrets && is_secret(&extension.options());
        self.shaped(&extension.kind(), extension.is_list(), extension.is_group(), secret)
    }

    fn shaped(&mut self, kind: &Kind, list: bool, group: bool, secret: bool) -> Field {
        let shape = match kind {
            Kind::Fixed32 | Kind::Sfixed32 | Kind::Float => Shape::Fixed32,
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => Shape::Fixed64,
            Kind::String => Shape::Text,
            Kind::Bytes => Shape::Bytes,
            Kind::Message(_) if group => Shape::Group,
            Kind::Message(_) => Shape::Message,
            _ => Shape::Varint,
        };
        let packable = list && matches!(shape, Shape::Varint | Shape::Fixed32 | Shape::Fixed64);
        Field { shape, packable, secret, table: kind.as_message().map_or(0, |inside| self.index(inside)) }
    }
}

// === impl Node ===

impl Node {
    /// What to do at a number.
    #[inline]
    pub fn at(&self, number: u32) -> Option<&Step> {
        if number < 64 && self.mask & (1 << number) == 0 {
            return None;
        }
        self.steps.binary_search_by_key(&number, |step| step.number).ok().map(|place| &self.steps[place])
    }
}

// === impl Field ===

impl Field {
    const UNKNOWN: Field = Field { shape: Shape::Unknown, packable: false, secret: false, table: 0 };
}

// === impl Scalar ===

impl Scalar {
    fn of(field: &FieldDescriptor) -> Option<Scalar> {
        let form = match field.kind() {
            Kind::Bool => Form::Bool,
            Kind::Int32 | Kind::Enum(_) => Form::Int32,
            Kind::Int64 => Form::Int64,
            Kind::Sint32 => Form::Sint32,
            Kind::Sint64 => Form::Sint64,
            Kind::Uint32 => Form::Uint32,
            Kind::Uint64 => Form::Uint64,
            Kind::Fixed32 | Kind::Fixed64 => Form::Fixed,
            Kind::Sfixed32 => Form::Sfixed32,
            Kind::Sfixed64 => Form::Sfixed64,
            Kind::String => Form::Text,
            Kind::Bytes => Form::Bytes,
            Kind::Float | Kind::Double | Kind::Message(_) => return None,
        };
        Some(Scalar { form, presence: field.supports_presence() })
    }
}

/// Whether options say `debug_redact`, also when the pool's own copy of descriptor.proto is too old to know the option.
fn is_secret(options: &prost_reflect::DynamicMessage) -> bool {
    const DEBUG_REDACT: u32 = 16;
    match options.get_field_by_number(DEBUG_REDACT) {
        Some(value) => value.as_bool().unwrap_or(false),
        None => options.unknown_fields().any(|field| field.number() == DEBUG_REDACT),
    }
}

/// A length as an index.
fn length<T>(items: &[T]) -> u32 {
    u32::try_from(items.len())
        .expect("a schema has fewer than 2^32 fields, because each takes several bytes of a descriptor of at most 2 GiB")
}
