//! What clients are told about the routes: a hash of numbers, names, kinds and the messages they reach.
//!
//! Limits, permissions and backends are not in it, and neither is the order in which anything is written.

use sha2::{Digest, Sha256};

use crate::proto::{Kind, MessageType, closure_hash};
use crate::push::rules::PushPlan;
use crate::table::plan::RoutePlan;

/// Sixteen hexadecimal digits: enough to tell that something changed, short enough to read out.
pub fn hash(routes: &[RoutePlan], pushes: &[PushPlan]) -> String {
    let mut hash = Sha256::new();
    let mut types: Vec<MessageType> = Vec::new();
    for route in routes {
        for text in [&*route.name, route.method.input.name(), route.method.output.name()] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.update(route.number.0.to_le_bytes());
        match route.method.kind {
            // As it was before there were others, so that nothing changed for whoever has only these.
            Kind::Unary => {}
            kind => hash.update([kind as u8]),
        }
        types.extend([route.method.input.clone(), route.method.output.clone()]);
    }
    for push in pushes {
        for text in [&*push.name, push.message.name()] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.update(push.number.0.to_le_bytes());
        types.push(push.message.clone());
    }
    hash.update(closure_hash(&types).0);
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
