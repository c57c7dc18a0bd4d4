//! What is promised of sessions, on one node and on several.
