//! All message types, methods and services that one configuration's descriptors define.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, Weak};

use prost_reflect::DescriptorPool;

use super::comments::Comments;
use super::link;
use super::program::Shapes;
use super::rules::{Options, Rules};
use super::source::{self, Bytes, DescriptorSource};
use super::{MessageType, Method};
use crate::diagnostic::{Report, Sources};
use crate::files::{Files, Fingerprint};

/// The gateway's own services and wire messages, compiled in.
const OWN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/protogate.binpb"));

/// Descriptors that were loaded together. Cheap to clone; immutable.
#[derive(Clone)]
pub struct Pool(Arc<Content>);

/// Pools by the bytes they were made from, so that tables compiled from the same descriptors share one.
///
/// A pool lives as long as a table uses it; only pools without any problem are shared, because problems must be reported each time.
#[derive(Default)]
pub struct Pools {
    known: Mutex<HashMap<Fingerprint, Weak<Content>>>,
}

/// A name that the pool does not have.
#[derive(Debug)]
pub struct Missing {
    pub what: String,
    /// What could have been meant, written as the missing name was.
    pub known: Vec<String>,
}

struct Content {
    descriptors: DescriptorPool,
    /// Full names of the fields marked `debug_redact`.
    redacted: HashSet<String>,
    /// What .proto files say of what is in them.
    comments: Comments,
    /// The rules of `buf.validate`, as they are written.
    options: Options,
    /// Made when the first route needs them, as `rules` are.
    shapes: OnceLock<Arc<Shapes>>,
    rules: OnceLock<Arc<Rules>>,
    fingerprint: Fingerprint,
    complete: bool,
}

// === impl Pools ===

impl Pools {
    pub fn new() -> Pools {
        Pools::default()
    }

    /// Loads all sources into one pool. What is broken is reported and left out.
    ///
    /// `texts` gets the .proto files that diagnostics point into.
    pub fn load(&self, files: &Files, sources: &[DescriptorSource], report: &mut Report, texts: &mut Sources) -> Pool {
        let bytes = source::read(files, sources, report);
        if let Some(pool) = self.known(&bytes.fingerprint).filter(|_| bytes.complete) {
            return pool;
        }
        let pool = Pool::make(bytes, sources, report, texts);
        if pool.is_complete() {
            self.keep(&pool);
        }
        pool
    }

    fn known(&self, fingerprint: &Fingerprint) -> Option<Pool> {
        let known = self.known.lock().expect("no holder of this lock panics");
        known.get(fingerprint)?.upgrade().map(Pool)
    }

    fn keep(&self, pool: &Pool) {
        let mut known = self.known.lock().expect("no holder of this lock panics");
        known.retain(|_, content| content.strong_count() > 0);
        known.insert(pool.fingerprint(), Arc::downgrade(&pool.0));
    }
}

// === impl Pool ===

impl Pool {
    /// The gateway's own descriptors. Decodes them anew: the composition root calls this once.
    pub fn own() -> Pool {
        let pool = Pool::make(source::compiled_in(OWN), &[], &mut Report::default(), &mut Sources::default());
        assert!(pool.is_complete(), "the build compiled these descriptors");
        pool
    }

    /// What every service may add to a failure, whatever its own descriptors hold: google.rpc's details. Decoded when the first is told.
    pub(super) fn of_details() -> &'static Pool {
        static POOL: LazyLock<Pool> = LazyLock::new(|| {
            let set = source::compiled_in(tonic_types::pb::FILE_DESCRIPTOR_SET);
            Pool::make(set, &[], &mut Report::default(), &mut Sources::default())
        });
        &POOL
    }

    /// The method `pkg.Service/Method`.
    pub fn method(&self, name: &str) -> Result<Method, Missing> {
        let Some((service, method)) = name.split_once('/') else {
            return Err(Missing { what: format!("`{name}` is not of the form `package.Service/Method`"), known: self.methods() });
        };
        let Some(found) = self.0.descriptors.get_service_by_name(service) else {
            return Err(Missing { what: format!("service `{service}` does not exist"), known: self.methods() });
        };
        match found.methods().find(|known| known.name() == method) {
            Some(method) => Ok(Method::new(self, &method)),
            None => Err(Missing {
                what: format!("service `{service}` has no method `{method}`"),
                known: found.methods().map(|known| format!("{service}/{}", known.name())).collect(),
            }),
        }
    }

    /// The message type `pkg.Message`.
    pub fn message(&self, name: &str) -> Result<MessageType, Missing> {
        self.find_message(name).ok_or_else(|| Missing { what: format!("message `{name}` does not exist"), known: self.messages() })
    }

    /// One hash over everything this pool was made from.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// False when a source was reported broken: then a missing name may be a consequence and is not worth a word.
    pub fn is_complete(&self) -> bool {
        self.0.complete
    }

    /// The same without an explanation, for names that come from messages rather than from people.
    pub(super) fn find_message(&self, name: &str) -> Option<MessageType> {
        self.0.descriptors.get_message_by_name(name).map(|message| MessageType::new(self, message))
    }

    /// What its file says of something, by its full name.
    pub(super) fn comment(&self, name: &str) -> Option<&str> {
        self.0.comments.of(name)
    }

    /// Whether a field is marked `debug_redact`.
    pub(super) fn is_redacted(&self, name: &str) -> bool {
        self.0.redacted.contains(name)
    }

    pub(super) fn shapes(&self) -> &Arc<Shapes> {
        self.0.shapes.get_or_init(|| Arc::new(Shapes::compile(&self.0.descriptors, &self.0.redacted)))
    }

    pub(super) fn rules(&self) -> &Arc<Rules> {
        self.0.rules.get_or_init(|| Arc::new(Rules::compile(&self.0.descriptors, &self.0.options)))
    }

    fn make(bytes: Bytes, sources: &[DescriptorSource], report: &mut Report, texts: &mut Sources) -> Pool {
        let (fingerprint, read) = (bytes.fingerprint, bytes.complete);
        let mut parsed = source::parse(bytes, sources, report, texts);
        let comments = std::mem::take(&mut parsed.comments);
        let linked = link::link(parsed, sources, report, texts);
        let complete = read && linked.complete;
        Pool(Arc::new(Content {
            descriptors: linked.pool,
            redacted: linked.redacted,
            comments,
            options: linked.rules,
            shapes: OnceLock::new(),
            rules: OnceLock::new(),
            fingerprint,
            complete,
        }))
    }

    /// Every method, `pkg.Service/Method`, and what its file says of it.
    pub fn methods_said(&self) -> BTreeMap<String, String> {
        let comment = |name: &str| self.comment(name).unwrap_or_default().to_owned();
        let all = self.0.descriptors.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        all.map(|method| (format!("{}/{}", method.parent_service().full_name(), method.name()), comment(method.full_name()))).collect()
    }

    fn methods(&self) -> Vec<String> {
        let services = self.0.descriptors.services();
        services
            .flat_map(|service| service.methods().map(|method| format!("{}/{}", service.full_name(), method.name())).collect::<Vec<_>>())
            .collect()
    }

    /// Every message type by its full name.
    pub fn messages(&self) -> Vec<String> {
        self.0.descriptors.all_messages().filter(|message| !message.is_map_entry()).map(|message| message.full_name().to_owned()).collect()
    }
}
