//! What a value may look like, as the schemas tell it.

/// The shape of one kind of value.
pub enum Shape {
    /// Text that must match a pattern, if there is one.
    Text { pattern: Option<&'static str>, example: &'static str },
    /// A whole number.
    Integer { min: u64, max: u64 },
    /// true or false.
    Bool,
    /// Any single value.
    Scalar,
    /// One of these words, each with its meaning.
    Choice(Vec<(&'static str, &'static str)>),
    List(Box<Shape>),
    /// A list, or `{ append: [...] }`, or `{ replace: [...] }`.
    Edit(Box<Shape>),
    /// A map whose keys look like the first and whose values like the second.
    Map(Box<Shape>, Box<Shape>),
    /// A map with known keys.
    Section { name: &'static str, doc: &'static str, keys: fn() -> Vec<KeyShape> },
}

/// One key of a section.
pub struct KeyShape {
    pub key: &'static str,
    /// What it means, in a sentence or two.
    pub doc: &'static str,
    pub shape: fn() -> Shape,
}
