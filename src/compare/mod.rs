//! What two tables do differently: routes, policies, and what clients say and hear on the wire.
//!
//! Nothing here reads a file or changes anything.
