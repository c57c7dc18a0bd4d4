//! Random messages are judged as a naive reader of the decoded message judges them.
