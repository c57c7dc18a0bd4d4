//! Typed clients out of a table.
