//! A field of a message, whoever declares it: the message itself, or (proto2) a file that extends it.
//!
//! An extension is on the wire what a field is, and in JSON it is called by its full name in brackets.

use prost_reflect::{Cardinality, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};

pub(super) enum Slot {
    Own(FieldDescriptor),
    Extension(ExtensionDescriptor),
}

/// What either kind says of itself.
macro_rules! of {
    ($slot:expr, $field:ident => $what:expr) => {
        match $slot {
            Slot::Own($field) => $what,
            Slot::Extension($field) => $what,
        }
    };
}

// === impl Slot ===

impl Slot {
    pub fn all(message: &MessageDescriptor) -> Vec<Slot> {
        message.fields().map(Slot::Own).chain(message.extensions().map(Slot::Extension)).collect()
    }

    pub fn numbered(message: &MessageDescriptor, number: u32) -> Option<Slot> {
        message.get_field(number).map(Slot::Own).or_else(|| message.get_extension(number).map(Slot::Extension))
    }

    /// The one in `message` that is called as this one is, in the file or in JSON.
    pub fn namesake(&self, message: &MessageDescriptor) -> Option<Slot> {
        match self {
            Slot::Own(field) => {
                let by_name = message.get_field_by_name(field.name());
                by_name.or_else(|| message.get_field_by_json_name(field.json_name())).map(Slot::Own)
            }
            Slot::Extension(field) => message.get_extension_by_full_name(field.full_name()).map(Slot::Extension),
        }
    }

    /// Such as ``field 2 `text` of `a.B` ``.
    pub fn shown(&self) -> String {
        let kind = if matches!(self, Slot::Own(_)) { "field" } else { "extension" };
        format!("{kind} {} `{}` of `{}`", self.number(), self.name(), self.message().full_name())
    }

    /// As the file calls it; of an extension, with all that it is declared in.
    pub fn name(&self) -> &str {
        match self {
            Slot::Own(field) => field.name(),
            Slot::Extension(field) => field.full_name(),
        }
    }

    /// The message that has it.
    pub fn message(&self) -> MessageDescriptor {
        match self {
            Slot::Own(field) => field.parent_message().clone(),
            Slot::Extension(field) => field.containing_message(),
        }
    }

    pub fn oneof(&self) -> Option<OneofDescriptor> {
        match self {
            Slot::Own(field) => field.containing_oneof().filter(|oneof| !oneof.is_synthetic()),
            Slot::Extension(_) => None,
        }
    }

    pub fn number(&self) -> u32 {
        of!(self, field => field.number())
    }

    pub fn json_name(&self) -> &str {
        of!(self, field => field.json_name())
    }

    pub fn kind(&self) -> Kind {
        of!(self, field => field.kind())
    }

    pub fn cardinality(&self) -> Cardinality {
        of!(self, field => field.cardinality())
    }

    pub fn is_list(&self) -> bool {
        of!(self, field => field.is_list())
    }

    pub fn is_map(&self) -> bool {
        of!(self, field => field.is_map())
    }

    pub fn is_group(&self) -> bool {
        of!(self, field => field.is_group())
    }

    pub fn is_required(&self) -> bool {
        self.cardinality() == Cardinality::Required
    }

    /// Whether being absent differs from having the default.
    pub fn has_presence(&self) -> bool {
        of!(self, field => field.supports_presence())
    }

    /// The default that is written.
    pub fn default(&self) -> Option<String> {
        of!(self, field => field.field_descriptor_proto().default_value.clone())
    }
}
