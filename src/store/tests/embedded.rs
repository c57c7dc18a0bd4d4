//! What the embedded store promises beyond the suite: the file, the disk, and the death of its process.
