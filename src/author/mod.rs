//! Texts that are written for people out of descriptors and tables: a first configuration, and the protocol reference.
//!
//! - `first`: a configuration to begin with, out of descriptors, or the shipped one
//! - `reference`: what clients may ask of a table, what they are told, and by which rules
//! - `saying`: what others wrote, made harmless for whoever reads it next

pub mod first;
pub mod reference;
mod saying;

/// Why writing into a text is no matter of luck.
const WRITTEN: &str = "a text takes what is written to it";
