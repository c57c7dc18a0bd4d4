//! Texts that are written for people out of descriptors and tables: a first configuration, and the protocol reference.
