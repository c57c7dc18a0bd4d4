//! Crowds: what they cost, what each of them is told, and that nobody else is any the worse for it.
//!
//! They need what processors there are, and a client that comes to nothing for ten seconds is rightly sent away: `tests/run` runs them
//! after the others and one at a time.

// More logins than there is room for.
mod flood;

// More pushes than there are readers for.
mod slow;
