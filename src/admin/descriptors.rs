//! What an operator sees of locked descriptors: whether backends still tell what their locks hold.

use http::StatusCode;
use serde_json::{Value, json};

use super::query::Query;
use super::{Admin, Reply, reply};
use crate::proto::Change;
use crate::reflection::{Agreement, Looked};

/// `GET /api/v1/descriptors`: every lock of the live table, and what is known of its backend.
pub fn list(admin: &Admin, query: &Query) -> Reply {
    let page = match query.page::<String>() {
        Ok(page) => page,
        Err(refusal) => return *refusal,
    };
    let mut locks: Vec<(String, Looked)> = admin.drift.all().into_iter().map(|looked| (cursor(&looked), looked)).collect();
    locks.retain(|(cursor, _)| page.after.as_ref().is_none_or(|after| cursor > after));
    locks.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (locks, next) = page.of(locks.iter(), |(cursor, _)| cursor.clone());
    let mut body = json!({ "locks": locks.iter().map(|(_, looked)| shown(looked)).collect::<Vec<_>>() });
    if let Some(next) = next {
        body["next"] = next.into();
    }
    reply(StatusCode::OK, &body)
}

/// A file may hold what several backends tell.
fn cursor(looked: &Looked) -> String {
    format!("{} {}", looked.file.display(), looked.backend)
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
