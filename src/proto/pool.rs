//! All message types and methods that one configuration knows, and a cache so that unchanged descriptors are compiled once.
//!
//! Loading never fails: what is broken is reported and left out, and [`Pool::is_complete`] then says so, so that later passes do not
//! complain about names that are only missing because of an error already reported.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use http::uri::PathAndQuery;
use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};

use super::compile::compile;
use super::source::{self, DescriptorSource};
use super::{Kind, MessageType, Method};
use crate::diagnostic::{Report, Sources};
use crate::files::Files;

/// Compiled descriptors. Cheap to clone.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    pool: DescriptorPool,
    hash: [u8; 32],
    complete: bool,
}

/// The pools that some table still uses, by the hash of what they were compiled from.
#[derive(Default)]
pub struct Pools {
    live: Mutex<HashMap<[u8; 32], Weak<Inner>>>,
}

/// A name that is not in the pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    pub what: String,
    /// Names that are, in the form of the one that was asked for.
    pub known: Vec<String>,
}

// === impl Pools ===

impl Pools {
    /// Reads and compiles the sources. The texts of .proto files with findings are added to `texts`.
    pub fn load(&self, files: &Files, sources: &[DescriptorSource], report: &mut Report, texts: &mut Sources) -> Pool {
        let mut findings = Report::default();
        let found = source::read(files, sources, &mut findings);
        let hash = source::digest(&found);
        // With a finding there is nothing to reuse: the findings themselves must be made again, with the places of this run.
        if !findings.has_errors()
            && let Some(inner) = self.live.lock().expect("no holder of this lock panics").get(&hash).and_then(Weak::upgrade)
        {
            return Pool(inner);
        }
        let pool = compile(found, &mut findings, texts);
        let complete = !findings.has_errors();
        report.extend(findings);
        let inner = Arc::new(Inner { pool, hash, complete });
        if complete {
            let mut live = self.live.lock().expect("no holder of this lock panics");
            live.retain(|_, pool| pool.strong_count() > 0);
            live.insert(hash, Arc::downgrade(&inner));
        }
        Pool(inner)
    }
}

// === impl Pool ===

impl Pool {
    /// The gateway's own messages: the envelope, the control messages, the built-in services.
    pub fn own() -> Pool {
        let encoded: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/protogate.binpb"));
        let pool = DescriptorPool::decode(encoded).expect("the build compiled this set from proto/");
        Pool(Arc::new(Inner { pool, hash: <sha2::Sha256 as sha2::Digest>::digest(encoded).into(), complete: true }))
    }

    /// The hash of everything the pool was compiled from.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.0.hash
    }

    /// False when something was reported and left out: a name that is missing may be missing for that reason.
    pub fn is_complete(&self) -> bool {
        self.0.complete
    }

    /// The message type of a full name, `pkg.Message`.
    pub fn message(&self, name: &str) -> Result<MessageType, Missing> {
        self.0.pool.get_message_by_name(name).filter(|message| !message.is_map_entry()).map(MessageType::new).ok_or_else(|| Missing {
            what: format!("there is no message type `{name}`"),
            known: self.messages().map(|message| message.name().to_owned()).collect(),
        })
    }

    /// Every message type, without the entries that map fields are made of.
    pub fn messages(&self) -> impl Iterator<Item = MessageType> + '_ {
        self.0.pool.all_messages().filter(|message| !message.is_map_entry()).map(MessageType::new)
    }

    /// The method of `pkg.Service/Method`.
    pub fn method(&self, path: &str) -> Result<Method, Missing> {
        let all = || self.0.pool.services().flat_map(|service| methods_of(&service)).collect();
        let Some((service, method)) = path.split_once('/') else {
            return Err(Missing { what: format!("`{path}` is not written as `package.Service/Method`"), known: all() });
        };
        let Some(service) = self.0.pool.get_service_by_name(service) else {
            return Err(Missing { what: format!("there is no service `{service}`"), known: all() });
        };
        service.methods().find(|found| found.name() == method).and_then(|found| callable(&found)).ok_or_else(|| Missing {
            what: format!("service `{}` has no method `{method}`", service.full_name()),
            known: methods_of(&service),
        })
    }
}

/// `None` when the names in a set made by hand cannot be part of a path; such a method cannot be called by anyone.
fn callable(method: &MethodDescriptor) -> Option<Method> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    Some(Method {
        path: PathAndQuery::try_from(path).ok()?,
        input: MessageType::new(method.input()),
        output: MessageType::new(method.output()),
        kind: Kind::of(method.is_client_streaming(), method.is_server_streaming()),
        deprecated: method.method_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated()),
    })
}

fn methods_of(service: &ServiceDescriptor) -> Vec<String> {
    service.methods().map(|method| format!("{}/{}", service.full_name(), method.name())).collect()
}

#[cfg(test)]
#[path = "pool_tests.rs"]
pub(in crate::proto) mod tests;
