//! How much YAML one file may hold, aliases counted each time they are used.
//!
//! The parser is iterative and would follow any text to its end; a tree is walked recursively and kept in memory, so it needs bounds.

use super::tree::{Kind, Node};

/// Deepest nesting. The grammar itself needs seven levels.
pub const DEPTH_MAX: usize = 64;

/// Most nodes in one file, what aliases stand for counted each time. Ten thousand routes of fifteen keys are about 350 000.
const NODES_MAX: usize = 500_000;

/// Most bytes of text in one tree, aliases included: a file's largest size twice over.
const TREE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How much something takes.
#[derive(Clone, Copy)]
pub struct Extent {
    pub nodes: usize,
    pub bytes: usize,
    pub depth: usize,
}

/// What may still be taken.
pub struct Budget {
    nodes: usize,
    bytes: usize,
}

// === impl Extent ===

impl Extent {
    /// One scalar, or a list or map before anything is in it.
    pub fn of_text(text: &str) -> Extent {
        Extent { nodes: 1, bytes: text.len(), depth: 0 }
    }

    pub fn of(node: &Node) -> Extent {
        let own = Extent { depth: 1, ..Extent::of_text("") };
        match &node.kind {
            Kind::Scalar(scalar) => Extent::of_text(&scalar.text),
            Kind::Broken => Extent::of_text(""),
            Kind::List(items) => items.iter().fold(own, |sum, item| sum.around(Extent::of(item))),
            Kind::Map(entries) => {
                entries.iter().fold(own, |sum, entry| sum.around(Extent::of_text(&entry.key.text)).around(Extent::of(&entry.value)))
            }
        }
    }

    /// This with one more part in it.
    fn around(self, part: Extent) -> Extent {
        Extent { nodes: self.nodes + part.nodes, bytes: self.bytes + part.bytes, depth: self.depth.max(part.depth + 1) }
    }
}

// === impl Budget ===

impl Budget {
    pub fn of_a_file() -> Budget {
        Budget { nodes: NODES_MAX, bytes: TREE_BYTES_MAX }
    }

    /// Takes it, or is false when there is not enough left.
    pub fn spend(&mut self, extent: Extent) -> bool {
        let (nodes, bytes) = (self.nodes.checked_sub(extent.nodes), self.bytes.checked_sub(extent.bytes));
        (self.nodes, self.bytes) = (nodes.unwrap_or(0), bytes.unwrap_or(0));
        nodes.is_some() && bytes.is_some()
    }
}
