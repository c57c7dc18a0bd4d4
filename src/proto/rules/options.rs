//! Takes the rules out of descriptors: the bytes of the options 1159 of fields, messages and oneofs.
//!
//! Promises: a source's own copy of `buf/validate/validate.proto` is used to read its files, whatever its version; what the rules mean is
//! read from the bytes, by the copy that is compiled in, so an option that this one does not know is found as such.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage, ExtensionDescriptor, MessageDescriptor};

use crate::proto::read;

/// The name by which .proto files import the options.
const NAME: &str = "buf/validate/validate.proto";

const TEXT: &str = include_str!("buf/validate/validate.proto");

/// The number of the options `message`, `oneof` and `field` alike.
const NUMBER: u32 = 1159;

/// Encoded rules, by the full names of what they are about.
#[derive(Default)]
pub(in crate::proto) struct Options {
    pub(super) fields: HashMap<String, Vec<u8>>,
    pub(super) messages: HashMap<String, Vec<u8>>,
    pub(super) oneofs: HashMap<String, Vec<u8>>,
}

/// The types of the options.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = DescriptorPool::global();
    add_to(&mut pool).expect("the compiled-in options are sound");
    pool
});

/// Adds the options to `pool`, if `imports` names them.
pub(in crate::proto) fn add_import<'f>(pool: &mut DescriptorPool, mut imports: impl Iterator<Item = &'f String>) {
    if imports.any(|import| import == NAME) {
        add_to(pool).expect("the compiled-in options are sound");
    }
}

fn add_to(pool: &mut DescriptorPool) -> Result<(), DescriptorError> {
    let file = protox::file::File::from_source(NAME, TEXT).expect("the compiled-in options are sound");
    pool.add_file_descriptor_proto(file.into())
}

/// Rules as a message of `buf.validate`; nothing when the bytes are none.
pub(super) fn decode(name: &str, bytes: &[u8]) -> Option<DynamicMessage> {
    let kind = POOL.get_message_by_name(&format!("buf.validate.{name}")).expect("the compiled-in options have this type");
    DynamicMessage::decode(kind, bytes).ok()
}

// === impl Options ===

impl Options {
    /// Whether there are no rules at all.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.messages.is_empty() && self.oneofs.is_empty()
    }

    /// Takes the rules of fields that extend messages.
    pub fn note_extensions(&mut self, extensions: impl Iterator<Item = ExtensionDescriptor>) {
        for field in extensions.filter(|field| field.field_descriptor_proto().options.is_some()) {
            take(field.full_name(), &field.options(), &mut self.fields);
        }
    }

    /// Takes the rules of a message, its fields and its oneofs; not those of the messages declared in it.
    pub fn note(&mut self, message: &MessageDescriptor) {
        self.note_extensions(message.child_extensions());
        if message.descriptor_proto().options.is_some() {
            take(message.full_name(), &message.options(), &mut self.messages);
        }
        for field in message.fields().filter(|field| field.field_descriptor_proto().options.is_some()) {
            take(field.full_name(), &field.options(), &mut self.fields);
        }
        for oneof in message.oneofs().filter(|oneof| oneof.oneof_descriptor_proto().options.is_some()) {
            take(oneof.full_name(), &oneof.options(), &mut self.oneofs);
        }
    }
}

fn take(name: &str, options: &DynamicMessage, into: &mut HashMap<String, Vec<u8>>) {
    let encoded = options.encode_to_vec();
    let found = read::fields(&encoded).flatten().filter(|field| field.number == NUMBER && field.wire == read::Wire::Len);
    let mut found = found.peekable();
    if found.peek().is_some() {
        // Several occurrences are one message: their bytes, one after the other.
        let rules = found.flat_map(|field| encoded[field.body].iter().copied()).collect();
        into.insert(name.to_owned(), rules);
    }
}
