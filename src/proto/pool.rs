//! The message types, methods and services that one configuration needs of its descriptors.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, Weak};

use prost_reflect::DescriptorPool;

use super::comments::Comments;
use super::link;
use super::loaded::Loaded;
use super::program::Shapes;
use super::rules::{Options, Rules};
use super::source::{self, DescriptorSource};
use super::survey::{self, Survey};
use super::wanted::Wanted;
use super::{Index, MessageType, Method, Service};
use crate::diagnostic::{Report, Sources, Span};
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
    /// What the sources declared when they were loaded last.
    last: Mutex<Index>,
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

    /// Loads what is wanted of all sources, and what that needs, into one pool. What of that is broken is reported and left out.
    ///
    /// `texts` gets the .proto files that diagnostics point into.
    pub fn load(&self, files: &Files, sources: &[DescriptorSource], wanted: &Wanted, report: &mut Report, texts: &mut Sources) -> Loaded {
        let last = self.last.lock().expect("no holder of this lock panics").clone();
        let survey = survey::survey(files, sources, &last, report);
        *self.last.lock().expect("no holder of this lock panics") = survey.index.clone();
        let reached = survey.index.reached(wanted);
        let fingerprint = source::fingerprint(&survey.index, &reached);
        if let Some(pool) = self.known(&fingerprint).filter(|_| survey.complete) {
            return Loaded { pool, index: survey.index };
        }
        let pool = Pool::make(files, &survey, reached, sources, report, texts);
        if pool.is_complete() {
            self.keep(&pool);
        }
        Loaded { pool, index: survey.index }
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
        let pool = Pool::compiled_in(OWN);
        assert!(pool.is_complete(), "the build compiled these descriptors");
        pool
    }

    /// What every service may add to a failure, whatever its own descriptors hold: google.rpc's details. Decoded when the first is told.
    pub(super) fn of_details() -> &'static Pool {
        static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::compiled_in(tonic_types::pb::FILE_DESCRIPTOR_SET));
        &POOL
    }

    fn compiled_in(set: &[u8]) -> Pool {
        let (files, mut report, mut texts) = (Files::in_memory(&[]).with("set", set.to_vec()), Report::default(), Sources::default());
        let sources = [DescriptorSource::Set { file: "set".into(), span: Span::start_of(texts.add("build", String::new())) }];
        Pools::new().load(&files, &sources, &Wanted::everything(), &mut report, &mut texts).pool
    }

    /// The method `pkg.Service/Method`.
    pub fn method(&self, name: &str) -> Option<Method> {
        let (service, method) = name.split_once('/')?;
        let found = self.0.descriptors.get_service_by_name(service)?.methods().find(|known| known.name() == method)?;
        Some(Method::new(self, &found))
    }

    /// Every service, by full name.
    pub fn services(&self) -> Vec<Service> {
        let mut services: Vec<Service> = self.0.descriptors.services().map(|service| Service::new(self, service)).collect();
        services.sort_by(|a, b| a.full_name().cmp(b.full_name()));
        services
    }

    /// The message type `pkg.Message`.
    pub fn message(&self, name: &str) -> Option<MessageType> {
        self.0.descriptors.get_message_by_name(name).map(|message| MessageType::new(self, message))
    }

    /// One hash over everything this pool was made from.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// False when a source was reported broken: then a missing name may be a consequence and is not worth a word.
    pub fn is_complete(&self) -> bool {
        self.0.complete
    }

    /// Whether a file was needed, by the name that imports use.
    pub fn has_file(&self, name: &str) -> bool {
        self.0.descriptors.get_file_by_name(name).is_some()
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

    fn make(
        files: &Files,
        survey: &Survey,
        reached: Vec<usize>,
        sources: &[DescriptorSource],
        report: &mut Report,
        texts: &mut Sources,
    ) -> Pool {
        let mut parsed = source::parse(files, survey, reached, sources, report, texts);
        let (fingerprint, comments) = (parsed.fingerprint(&survey.index), std::mem::take(&mut parsed.comments));
        let linked = link::link(files, parsed, sources, report, texts);
        Pool(Arc::new(Content {
            descriptors: linked.pool,
            redacted: linked.redacted,
            comments,
            options: linked.rules,
            shapes: OnceLock::new(),
            rules: OnceLock::new(),
            fingerprint,
            complete: survey.complete && linked.complete,
        }))
    }

    /// Every message type by its full name.
    #[cfg(test)]
    pub(super) fn messages(&self) -> Vec<String> {
        self.0.descriptors.all_messages().filter(|message| !message.is_map_entry()).map(|message| message.full_name().to_owned()).collect()
    }
}
