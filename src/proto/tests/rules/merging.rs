//! Bytes that no encoder writes are judged as what a decoder makes of them.
