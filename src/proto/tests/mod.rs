//! The promises of this room, on messages of all kinds.

mod json;
mod message;
mod pool;
mod redact;
mod rules;
mod sample;
mod scan;
mod stamp;
mod submessage;
mod walk;

use std::path::PathBuf;
use std::sync::LazyLock;

use prost_reflect::{DynamicMessage, Value as Reflected};

use super::{DescriptorSource, FieldPath, MessageType, Pool, Pools, Wanted};
use crate::diagnostic::{Report, Sources, Span};
use crate::files::Files;

/// The types of `testdata/`.
static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/proto/testdata"));
    let (pool, report, _) = load(&[folder]);
    assert!(report.is_empty(), "{report:?}");
    pool
});

/// Loads folders, or sets for paths that end in `.binpb`.
fn load(paths: &[PathBuf]) -> (Pool, Report, Sources) {
    let (mut report, mut texts) = (Report::default(), Sources::default());
    let yaml = texts.add("routes.yaml", "descriptors: here\n".repeat(paths.len()));
    let sources: Vec<DescriptorSource> = paths
        .iter()
        .enumerate()
        .map(|(index, path)| {
            let span = Span { file: yaml, start: index * 18, end: index * 18 + 4 };
            match path.extension() {
                Some(_) => DescriptorSource::Set { file: path.clone(), span },
                None => DescriptorSource::Proto { folder: path.clone(), span },
            }
        })
        .collect();
    let pool = Pools::new().load(&Files::on_disk(), &sources, &Wanted::everything(), &mut report, &mut texts).pool;
    (pool, report, texts)
}

fn message_type(name: &str) -> MessageType {
    POOL.message(name).expect("testdata defines it")
}

fn path(kind: &MessageType, path: &str) -> FieldPath {
    FieldPath::resolve(kind, path).expect("testdata has this field")
}

fn decode(kind: &MessageType, bytes: &[u8]) -> Option<DynamicMessage> {
    DynamicMessage::decode(kind.descriptor().clone(), bytes).ok()
}

/// Equality of messages in which `NaN` is itself.
fn same(a: &DynamicMessage, b: &DynamicMessage) -> bool {
    let (one, other): (Vec<_>, Vec<_>) = (a.fields().collect(), b.fields().collect());
    let unknown = |message: &DynamicMessage| -> Vec<u8> {
        let mut bytes = Vec::new();
        message.unknown_fields().for_each(|field| field.encode(&mut bytes));
        bytes
    };
    let fields = one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| one.0 == other.0 && same_value(one.1, other.1));
    let (one, other): (Vec<_>, Vec<_>) = (a.extensions().collect(), b.extensions().collect());
    let extensions = one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| one.0 == other.0 && same_value(one.1, other.1));
    fields && extensions && unknown(a) == unknown(b)
}

fn same_value(a: &Reflected, b: &Reflected) -> bool {
    match (a, b) {
        (Reflected::F32(a), Reflected::F32(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (Reflected::F64(a), Reflected::F64(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (Reflected::Message(a), Reflected::Message(b)) => same(a, b),
        (Reflected::List(a), Reflected::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b)),
        (Reflected::Map(a), Reflected::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_value(a, b)))
        }
        (a, b) => a == b,
    }
}
