//! Every test that meets the gateway from outside, one module a subject.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)] // A test that cannot go on says so by panicking; its sockets have real clocks.

// What the others are made of.
mod support;

// A reload changes what the next message meets, and nothing else.
mod reload;

// What a reload would change, and that it breaks no client unasked.
mod changes;

// What a client that keeps the rules meets.
mod conversation;

// Who a client is, and for how long.
mod identity;

// Tokens that no gateway may believe.
mod tokens;

// Keys that are fetched, and keys that are published.
mod key_sets;

// Who answers whom: shares of users, keys that lead to endpoints.
mod balancing;

// Sessions on several gateways that share one Redis, and what becomes of them when one dies, or Redis does.
mod nodes;

// Routes that make a session, or end one.
mod effects;

// Other services that decide whether a call may happen.
mod guards;

// Tests of routes: those that are shipped, and what is said about any.
mod trial;

// Messages both ways by one id.
mod streams;

// More messages on streams than there are readers for.
mod slow_streams;

// Rules that stand in descriptors.
mod validate;

// Far more descriptors than routes need.
mod descriptors;

// Topics: who hears them, and what is said to whom that comes back.
mod topics;

// Accounts, from registering to a forgotten password, on the shipped files and both stores.
mod accounts;

// Games, on the shipped files.
mod game;

// Chat over the shipped routes: rooms, private messages, and who may say what as whom.
mod chat;

// Games and chat with pushes: whoever is there, comes back, or was away.
mod people;

// More clients at once than there is room or processor for; run by itself in the gate.
mod crowds;

// What an operator asks, and that the answers are what the document says.
mod admin_api;

// Services in processes of their own.
mod alone;

// Endpoints that come and go while they are called.
mod registry;

// What users are told, now or when they come back.
mod notify;

// What an operator sees of sessions, and does about them; and what nobody else does.
mod operator;

// What is measured, and that nobody adds to it.
mod metrics;

// Who is connected, as an operator sees it; who is closed and kicked.
mod connections;

// Calls that an operator watches.
mod tap;

// What is done about backends that fail, as clients and operators see it.
mod failing;

// Where a call has been: spans, and who asks for them.
mod traces;

// Where services push from outside of the gateway, and who may.
mod push_side;

// Pushes that are waited for.
mod written;

// Services that die, pause and dawdle.
mod dying;

// Gateways that end as they should, and the sockets that outlive them.
mod drain;

// No secret reaches the log, by whatever way it came.
mod secrets;

// What the log says of calls, and the book of errors of those that failed.
mod logging;

// Canaries: secrets by every way there is, and all that the operator can read.
mod canaries;

// What lies between a client and the gateway: certificates, proxies, origins, and room for so many.
mod network;

// A backend whose certificate is renewed.
mod backend_tls;

// Clients that break the rules.
mod hostile;

// Wrong configurations and what is said about each: `tests/cases/config`.
mod cases;

// Every diagnostic has a page, and what it shows is so.
mod diagnostics;

// What the program explains: routes and diagnostics.
mod explain;

// What a configuration comes to when nothing is wrong with it.
mod plan;

// No text, however broken, breaks the reader of configurations.
mod config_properties;

// The files in `schemas/` are what the grammar says, and the shipped configuration fits them.
mod schemas;

// What people and pipelines do with route files: laid out, watched, completed, checked before a commit.
mod editing;

// What is said of findings: with carets, and in the formats that programs read.
mod render;

// What a person types.
mod cli;

// Clients that the program writes.
mod codegen;

// What a person sees who stays.
mod follow;

// The operator's page, without a browser.
mod dashboard;

// A first configuration, out of descriptors.
mod init;

// The protocol reference, for those who write clients.
mod reference;

// The README, done as it says: its commands, its conversation, its first change.
mod readme;

// Every folder of `examples/`, done as its README says.
mod examples;

// The operator's guide, done as it says.
mod operating;

// `examples/deploy`: its files hold together, and the container lives as it says.
mod deploy;

// `examples/monitoring` speaks of metrics that there are, and of sections of the guide that there are.
mod monitoring;

// What the documents list is what the code has.
mod documents;

// The map is true.
mod tidy;
