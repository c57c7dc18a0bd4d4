//! What the store in Redis promises beyond the suite: what happens to it when something happens to the server.
