//! Conversations with the registry.
