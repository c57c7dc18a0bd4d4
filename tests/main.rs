//! Every integration test, one module a subject.
#![allow(clippy::unwrap_used)]

// Wrong configurations and what is said about each: `tests/cases/config`.
mod cases;

// Findings as JSON, SARIF and GitHub's annotations.
mod render;

// The files in `schemas/` are what the grammar says, and the shipped configuration fits them.
mod schemas;

// No text, however broken, breaks the reader of configurations.
mod config_properties;
