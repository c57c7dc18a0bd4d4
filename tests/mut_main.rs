#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]
mod support {
    pub fn top() -> std::path::PathBuf {
        std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }
}
mod mutations;
