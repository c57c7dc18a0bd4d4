//! Random interleavings against what may and may not happen.
