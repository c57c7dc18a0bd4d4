//! What an operator sees of locked descriptors: whether backends still tell what their locks hold.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Admin, Reply, reply};
use crate::proto::Change;
use crate::reflection::{Agreement, Looked};

/// `GET /api/v1/descriptors`: every lock of the live table, and what is known of its backend.
pub fn list(admin: &Admin) -> Reply {
    let locks: Vec<Value> = admin.drift.all().iter().map(shown).collect();
    reply(StatusCode::OK, &json!({ "locks": locks }))
}

fn shown(looked: &Looked) -> Value {
    let mut shown = json!({ "backend": *looked.backend, "lock": looked.file.display().to_string() });
    match &looked.agreement {
        Agreement::Unknown(why) => {
            shown["state"] = "unknown".into();
            if let Some(why) = why {
                shown["problem"] = why.as_str().into();
            }
        }
        Agreement::Agrees => shown["state"] = "agrees".into(),
        Agreement::Differs { changes, count } => {
            shown["state"] = "differs".into();
            shown["changes"] = changes.iter().map(change).collect();
            shown["changes_in_all"] = (*count).into();
        }
    }
    if let Some(age) = looked.age {
        shown["seconds_ago"] = age.as_secs().into();
    }
    shown
}

fn change(change: &Change) -> Value {
    json!({ "kind": change.kind, "name": change.name, "is": change.changed.name() })
}
