//! Tests of routes: what a table does with a message, a session and a clock that the test names.
//!
//! The production compile and the production data path run; only the clock and what services answer are the test's.
