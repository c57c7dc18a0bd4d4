//! All texts that a message holds under one path, lists and messages in lists included.
//!
//! For what is read rarely, such as the roles in a reply to a login. The message was accepted by a [`Walk`](super::Walk) before.

use super::read::{self, Wire};
use super::{FieldKind, FieldPath};

/// A path to texts.
#[derive(Clone)]
pub struct Texts {
    numbers: Vec<u32>,
}

// === impl Texts ===

impl Texts {
    /// Nothing if the path leads to something else than texts.
    pub fn compile(path: &FieldPath) -> Option<Texts> {
        (path.kind() == FieldKind::String && !path.leaf().is_map()).then(|| Texts { numbers: path.numbers().to_vec() })
    }

    /// The texts in their order, at most `count_max`. Nothing if there are more.
    pub fn read<'m>(&self, message: &'m [u8], count_max: usize) -> Option<Vec<&'m str>> {
        let mut found = Vec::new();
        self.collect(&self.numbers, message, count_max, &mut found)?;
        Some(found)
    }

    fn collect<'m>(&self, numbers: &[u32], message: &'m [u8], count_max: usize, found: &mut Vec<&'m str>) -> Option<()> {
        let (number, below) = numbers.split_first().expect("a path has at least one field");
        for field in read::fields(message) {
            let field = field.ok()?;
            if field.number != *number || field.wire != Wire::Len {
                continue;
            }
            let body = &message[field.body];
            if !below.is_empty() {
                self.collect(below, body, count_max, found)?;
            } else if found.len() == count_max {
                return None;
            } else {
                found.push(std::str::from_utf8(body).ok()?);
            }
        }
        Some(())
    }
}
