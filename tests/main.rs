//! Every test that meets the gateway from outside, one module a subject.

// What the others are made of.
mod support;

// A reload changes what the next message meets, and nothing else.
mod reload;

// Clients that break the rules.
mod hostile;

// What a person types.
mod cli;

// The map is true.
mod tidy;
