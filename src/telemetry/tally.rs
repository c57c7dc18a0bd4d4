//! Counting: once, by a label of a fixed set, or as long as something is there.
//!
//! Promises: counting is one relaxed atomic addition, without a lock; the values of a label are those of an enum, so that nobody outside
//! can add one.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often something happened.
#[derive(Default)]
pub struct Counter(AtomicU64);

/// All values that a label of metrics has.
pub trait Label: Copy + 'static {
    /// In the order of their numbers.
    const ALL: &'static [Self];

    fn index(self) -> usize;

    /// As it stands in metrics.
    fn name(self) -> &'static str;
}

/// How often something happened, by the value of a label.
pub struct Tally<L>(Box<[Counter]>, PhantomData<L>);

/// How many of something there are now. Clones are the same.
#[derive(Clone, Default)]
pub struct Population(Arc<AtomicU64>);

/// One of a [`Population`], as long as it lives; a clone is another.
pub struct Member(Population);

/// An enum that is a label, with the name of each value.
macro_rules! label {
    ($(#[doc = $what:literal])+ pub enum $label:ident { $($(#[doc = $doc:literal])* $value:ident = $name:literal,)+ }) => {
        $(#[doc = $what])+
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $label { $($(#[doc = $doc])* $value,)+ }

        impl $crate::telemetry::tally::Label for $label {
            const ALL: &'static [$label] = &[$($label::$value,)+];

            fn index(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                match self { $($label::$value => $name,)+ }
            }
        }
    };
}

pub(crate) use label;

// === impl Counter ===

impl Counter {
    pub fn one(&self) {
        self.add(1);
    }

    pub fn add(&self, many: u64) {
        self.0.fetch_add(many, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

// === impl Tally ===

impl<L: Label> Default for Tally<L> {
    fn default() -> Tally<L> {
        Tally(L::ALL.iter().map(|_| Counter::default()).collect(), PhantomData)
    }
}

impl<L: Label> Tally<L> {
    pub fn count(&self, label: L) {
        self.0[label.index()].one();
    }

    pub fn of(&self, label: L) -> u64 {
        self.0[label.index()].get()
    }

    /// Every value with its number, those that never happened too.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        L::ALL.iter().map(|label| (label.name(), self.of(*label)))
    }
}

// === impl Population, Member ===

impl Population {
    /// One more.
    pub fn join(&self) -> Member {
        self.0.fetch_add(1, Relaxed);
        Member(self.clone())
    }

    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Clone for Member {
    fn clone(&self) -> Member {
        self.0.join()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    label! {
        /// Of tests.
        pub enum Colour {
            Red = "red",
            Green = "green",
        }
    }

    #[test]
    fn every_value_is_there_before_it_happens() {
        let tally = Tally::default();
        tally.count(Colour::Green);
        assert_eq!(tally.all().collect::<Vec<_>>(), [("red", 0), ("green", 1)]);
    }

    #[test]
    fn who_is_gone_is_not_counted() {
        let population = Population::default();
        let one = population.join();
        let other = one.clone();
        assert_eq!(population.count(), 2);
        drop(one);
        assert_eq!(population.count(), 1);
        drop(other);
        assert_eq!(population.count(), 0);
    }
}
