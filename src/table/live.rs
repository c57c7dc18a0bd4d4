//! The one pointer that a reload stores.
//!
//! [`live`] hands out a pair: whoever holds the [`TableWriter`] may swap, everybody else may only look. Promise: a reader sees the old
//! table or the new one, never a mixture, and keeps what it saw for as long as it holds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::Table;
use crate::id::Generation;

/// Sees the current table. Cheap to clone; one a worker.
#[derive(Clone)]
pub struct TableReader(Arc<Live>);

/// Swaps the table. There is one, and `reload.rs` holds it.
pub struct TableWriter(Arc<Live>);

struct Live {
    table: ArcSwap<Table>,
    /// The generation of `table`, stored after it: who reads a new number here finds at least that table.
    generation: AtomicU64,
}

/// A writer and its readers, starting from a first table.
pub fn live(first: Arc<Table>) -> (TableWriter, TableReader) {
    let generation = AtomicU64::new(first.generation.0);
    let live = Arc::new(Live { table: ArcSwap::new(first), generation });
    (TableWriter(Arc::clone(&live)), TableReader(live))
}

// === impl TableReader ===

impl TableReader {
    /// The table as it is now.
    pub fn load(&self) -> Arc<Table> {
        self.0.table.load_full()
    }

    /// Which table that is, for one atomic load.
    pub fn generation(&self) -> Generation {
        Generation(self.0.generation.load(Ordering::Acquire))
    }
}

// === impl TableWriter ===

impl TableWriter {
    /// Makes `table` the current one. Calls in flight keep the one they began with.
    pub fn store(&self, table: Arc<Table>) {
        let generation = table.generation.0;
        self.0.table.store(table);
        self.0.generation.store(generation, Ordering::Release);
    }
}
