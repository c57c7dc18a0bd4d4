//! Conversations with the notify service.
