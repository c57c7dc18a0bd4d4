//! `GET /api/v1/openapi.json`: the operator's door as OpenAPI 3.1, made of the list of endpoints.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::endpoints::{Access, ENDPOINTS, Endpoint, Verb};
use super::shape::Shape;
use super::{Reply, reply};

/// What several answers hold, by name.
const SHAPES: &[(&str, &str)] = &[
    ("Error", "{error: text}"),
    (
        "Route",
        "{number: whole, name: text, rpc: text, kind: Kind, request: text, response: text, access: Access, permissions: [text], limits: [text], calls: whole, failures: whole, latency: Latency, backends: [text]}",
    ),
    (
        "RouteInFull",
        "{number: whole, name: text, rpc: text, kind: Kind, request: text, response: text, access: Access, permissions: [text], limits: [text], calls: whole, failures: whole, latency: Latency, backends: [text], policy: [Line], meaning: Meaning, template: any, fields: [Field]}",
    ),
    ("Kind", r#""unary"|"server_stream"|"client_stream"|"bidi""#),
    ("Access", r#""anonymous"|"authenticated""#),
    (
        "Meaning",
        "{takes: text, answers: text, callers: text, roles: [text], other_roles: [text], limits: [text], backends: [text], repeated: text}",
    ),
    ("Line", r#"{key: text, value: text, layer: "built-in"|"defaults"|"group"|"route"|"overlay", file?: text, line?: whole}"#),
    ("Push", r#"{number: whole, name: text, message: text, delivery: "best_effort"|"session"|"durable"}"#),
    (
        "Limit",
        r#"{name: text, key: [text], rate: text, burst: whole, mode: "enforce"|"dry_run", refused: whole, keys: whole, limited: [Limited]}"#,
    ),
    ("Limited", "{key: text, since_ms: time, until_ms: time, refused: whole}"),
    ("Backend", "{name: text, in_flight: whole, pending: whole, retries: whole, sheds: whole, unkeyed: whole, endpoints: [Endpoint]}"),
    (
        "Endpoint",
        "{address: text, weight: whole, zone: text|null, version: text|null, state: text, in_flight: whole, calls: whole, failures: whole, ejections: whole}",
    ),
    (
        "Statistics",
        "{node: text, version: text, started_ms: time, uptime_seconds: whole, ready: bool, generation: whole, hash: text, connections: whole, connections_max: whole, anonymous: whole, sessions: whole, outbox_bytes: whole, accepted: whole, refused: {*: whole}, closes: {*: whole}, tokens_refused: {*: whole}, calls: {total: whole, failed: whole, latency: Latency}, pushes: {published: whole, delivered: whole, dropped: whole}}",
    ),
    ("Latency", "{bounds: [number], counts: [whole]}"),
    (
        "RouteMessages",
        "{number: whole, name: text, rpc: text, kind: Kind, comment?: text, request: {type: text, comment?: text, template: any, fields: [Field]}, response: Message}",
    ),
    ("PushMessage", "{number: whole, name: text, message: Message}"),
    ("Message", "{type: text, comment?: text, fields: [Field]}"),
    (
        "Field",
        r#"{name: text, type: text, kind: "string"|"bytes"|"bool"|"integer"|"number"|"enum"|"message"|"map", repeated?: bool, optional?: bool, oneof?: text, stamped?: bool, secret?: bool, comment?: text, values?: [{name: text, comment?: text}], fields?: [Field]}"#,
    ),
    ("Edge", "{address: text, port: whole, path: text, tls: bool, origins: [text], public_url?: text}"),
    (
        "Lock",
        r#"{backend: text, lock: text, state: "unknown"|"agrees"|"differs", problem?: text, changes?: [Change], changes_in_all?: whole, seconds_ago?: whole}"#,
    ),
    ("Change", "{kind: text, name: text, is: text}"),
    (
        "Session",
        r#"{session: text, node: text, state: "attached"|"detached", expires_ms: time, roles: [text], detached_until_ms?: time, token?: text, issued_ms?: time}"#,
    ),
    (
        "SessionInFull",
        r#"{session: text, node: text, state: "attached"|"detached", expires_ms: time, roles: [text], detached_until_ms?: time, token?: text, issued_ms?: time, user: text, heard: [text]}"#,
    ),
    (
        "Connection",
        r#"{id: whole, peer: text, user: text|null, session: text|null, codec: "proto"|"json", connected_ms: time, in_flight: whole, streams: whole, outbox_bytes: whole, topics: whole}"#,
    ),
    (
        "ConnectionInFull",
        r#"{id: whole, peer: text, user: text|null, session: text|null, codec: "proto"|"json", connected_ms: time, in_flight: whole, streams: whole, outbox_bytes: whole, topics: whole, heard: [text], generation: whole|null, worker: whole, idle_ms: whole, calls: [Call], open_streams: [Call], roles?: [text], expires_ms?: time}"#,
    ),
    ("Call", "{protocol: whole, id: whole}"),
    ("Topic", "{name: text, hearers: whole, epoch?: text, offset?: whole}"),
    ("Failure", r#"{source: "gateway"|"backend", code: text, reason: text, count: whole, last_ms: time, examples: [Example]}"#),
    ("Example", "{at_ms: time, connection: whole, message: text, route?: text, user?: text, cause?: text, endpoint?: text}"),
    (
        "Tapped",
        "{at_ms: time, route: text|null, protocol: whole, id: whole, user: text|null, connection: whole, peer: text, code: text, reason: text|null, message: text|null, limits: {refused_by: text|null, would_refuse: [text]}, backend: text|null, endpoint: text|null, attempts: whole, duration_ms: number, messages?: {in: whole, out: whole}, request: any, reply: any}",
    ),
    ("Lost", "{lost: whole}"),
    (
        "Notification",
        "{users: [text], title?: text, body?: text, template?: text, parameters?: {*: text}, locale?: text, type?: text, importance?: text, channels?: [text], data?: {*: text}, expires_in?: whole, idempotency_key?: text}",
    ),
    ("Batch", "{batch: text, done: bool, total: whole, sent: whole, failed: whole, skipped: whole, errors: [{user: text, message: text}]}"),
    (
        "Template",
        "{name: text, type?: text, importance?: text, parameters?: {*: {type?: text, required?: bool}}, words: {*: {title: text, body?: text, html?: text}}, default_locale: text}",
    ),
    ("Check", "{version: whole, diagnostics: [Finding], summary: {errors: whole, warnings: whole, routes: whole, files: whole}}"),
    (
        "Finding",
        r#"{code: text, severity: "error"|"warning", file: text, line: whole, column: whole, end_line: whole, end_column: whole, path: text, message: text, label: text|null, help: text|null, related: [Related]}"#,
    ),
    ("Related", "{file: text, line: whole, column: whole, end_line: whole, end_column: whole, message: text}"),
    (
        "Attempt",
        r#"{at_ms: time, cause: "start"|"watch"|"signal"|"operator", outcome: "swapped"|"unchanged"|"refused"|"stale"|"failed", generation: whole, hash: text, took_ms: whole, check?: Check}"#,
    ),
    (
        "Difference",
        "{version: whole, same: bool, breaking: bool, allowed: bool, changes: [Alteration], effects: Effects, routes: {added: [Named], removed: [Named], changed: [Changed]}, counts: {added: whole, removed: whole, changed: whole}}",
    ),
    (
        "Alteration",
        r#"{effect: "breaks"|"opens"|"loosens"|"closes"|"tightens"|"changes", code?: text, codec?: "proto"|"json", what: text, routes: [Concerned], routes_in_all: whole, place?: {file: text, line: whole}, key?: {name: text, from: text|null, to: text|null}}"#,
    ),
    ("Concerned", "{number: whole, name: text, calls_last_hour?: whole}"),
    ("Effects", "{breaks: whole, opens: whole, loosens: whole, closes: whole, tightens: whole, changes: whole}"),
    ("Draining", "{draining: bool, connections: whole}"),
    ("Named", "{number: whole, name: text}"),
    ("Changed", "{number: whole, name: text, changes: [{key: text, from: text|null, to: text|null}]}"),
    ("Level", r#""error"|"warn"|"info"|"debug"|"trace""#),
    ("Verbosity", r#"{level: Level, configured: Level, by: "configuration"|"operator"}"#),
];

pub fn show() -> Reply {
    reply(StatusCode::OK, &document())
}

fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in ENDPOINTS {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.verb.name().to_lowercase()] = operation(endpoint);
    }
    let schemas: Map<String, Value> = SHAPES.iter().map(|(name, shape)| ((*name).to_owned(), schema(shape))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "protogate: the operator's door",
            "version": "1",
            "description": "Answers may get keys that are not here yet, and endpoints that are new; nothing that is here goes away.",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": "`admin.token` of gateway.yaml." } },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut responses = Map::new();
    let answer = json!({ "schema": schema(endpoint.answers) });
    let content: Map<String, Value> = endpoint.kinds.iter().map(|kind| ((*kind).to_owned(), answer.clone())).collect();
    responses.insert("200".to_owned(), json!({ "description": endpoint.summary, "content": content }));
    for (status, shape) in endpoint.also {
        responses.insert(
            status.to_string(),
            json!({ "description": "Not so.", "content": { "application/json": { "schema": schema(shape) } } }),
        );
    }
    let error = json!({ "$ref": "#/components/schemas/Error" });
    responses
        .insert("default".to_owned(), json!({ "description": "What is wrong.", "content": { "application/json": { "schema": error } } }));
    let mut operation = json!({
        "operationId": endpoint.id,
        "summary": endpoint.summary,
        "parameters": parameters(endpoint),
        "responses": responses,
        "security": if endpoint.access == Access::Operator { json!([{ "token": [] }]) } else { json!([]) },
    });
    if endpoint.verb == Verb::Post {
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema(endpoint.takes) } } });
    }
    operation
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let parts = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parts = parts.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let shape = read(endpoint.query);
    let query =
        shape.keys().iter().map(|key| json!({ "name": key.name, "in": "query", "required": key.required, "schema": key.shape.schema() }));
    parts.chain(query).collect()
}

fn schema(shape: &'static str) -> Value {
    read(shape).schema()
}

fn read(shape: &'static str) -> Shape {
    Shape::read(shape).expect("the tests read every shape")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_shape_is_sound_and_every_name_stands_for_one() {
        let document = document().to_string();
        let named: BTreeSet<&str> = document.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(named, SHAPES.iter().map(|(name, _)| *name).collect());
        let ids: BTreeSet<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.id).collect();
        assert_eq!(ids.len(), ENDPOINTS.len(), "each has one of its own");
    }
}
