//! Who may sit down: connections counted in all, by address, and by whether anybody knows who they are.
//!
//! A [`Seat`] is taken when a socket is accepted and given back on drop. Refusals that a client can read cost a handshake each, so a few
//! more sockets are let in than there are seats, to be told so; beyond those a socket is closed without a word.
//! Promise: every count goes back to where it was, whatever ends the connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use foldhash::fast::RandomState;

use crate::id::WorkerId;
use crate::table::Settings;

/// Sockets over the limit that are still told why: enough for people who look into it, too few to cost anything.
const TOLD_MAX: u32 = 64;

/// Unauthenticated connections are at most one in so many.
const ANONYMOUS_SHARE: u32 = 4;

/// All counts of one gateway.
pub struct Seats {
    taken: AtomicU32,
    anonymous: AtomicU32,
    by_worker: Box<[AtomicU32]>,
    by_address: Mutex<HashMap<Household, u32, RandomState>>,
}

/// One connection, counted.
pub struct Seat {
    seats: Arc<Seats>,
    worker: Option<WorkerId>,
    household: Option<Household>,
    anonymous: bool,
}

/// Why there is no seat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// `connections.max`, or the share of it that is for clients nobody knows.
    Gateway,
    /// `connections.per_ip_max`.
    Address,
}

/// Who shares a limit by address: an IPv4 address, or the /64 that an IPv6 subscriber is given.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Household(Ipv6Addr);

// === impl Seats ===

impl Seats {
    pub fn new(workers: usize) -> Arc<Seats> {
        Arc::new(Seats {
            taken: AtomicU32::new(0),
            anonymous: AtomicU32::new(0),
            by_worker: (0..workers).map(|_| AtomicU32::new(0)).collect(),
            by_address: Mutex::default(),
        })
    }

    /// A seat for a socket just accepted. Nothing: it is to be closed at once.
    pub fn take(self: &Arc<Self>, settings: &Settings) -> Option<Seat> {
        let seat = Seat { seats: Arc::clone(self), worker: None, household: None, anonymous: false };
        let taken = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        (taken <= settings.connections_max.saturating_add(TOLD_MAX)).then_some(seat)
    }

    /// How many seats are taken.
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many of them are of clients that nobody knows.
    pub fn anonymous(&self) -> u32 {
        self.anonymous.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Household, u32, RandomState>> {
        self.by_address.lock().expect("nothing that holds the counts panics")
    }
}

// === impl Seat ===

impl Seat {
    /// Counts the seat for an address, and no longer for the one before. False: so many came from there that this one is closed at once.
    pub fn settle(&mut self, address: IpAddr, settings: &Settings) -> bool {
        let household = Household::of(address);
        let mut counts = self.seats.lock();
        if let Some(before) = self.household.replace(household) {
            leave(&mut counts, before);
        }
        let count = counts.entry(household).or_default();
        *count += 1;
        *count <= settings.per_ip_max.saturating_add(TOLD_MAX)
    }

    /// Counts the seat for the worker that has the fewest, and says which.
    pub fn deal(&mut self) -> WorkerId {
        let counts = self.seats.by_worker.iter().map(|count| count.load(Ordering::Relaxed));
        let (index, _) = counts.enumerate().min_by_key(|(_, count)| *count).expect("there is a worker");
        self.seats.by_worker[index].fetch_add(1, Ordering::Relaxed);
        self.worker = Some(WorkerId(index));
        WorkerId(index)
    }

    /// Whether the seat lies within the limits.
    pub fn check(&self, settings: &Settings) -> Result<(), Full> {
        if self.seats.taken() > settings.connections_max {
            return Err(Full::Gateway);
        }
        let count = self.household.map_or(0, |household| self.seats.lock().get(&household).copied().unwrap_or(0));
        if count > settings.per_ip_max { Err(Full::Address) } else { Ok(()) }
    }

    /// Counts the connection as one that nobody knows.
    pub fn hide(&mut self, settings: &Settings) -> Result<(), Full> {
        if !self.anonymous {
            let anonymous = self.seats.anonymous.fetch_add(1, Ordering::Relaxed) + 1;
            self.anonymous = true;
            if anonymous > (settings.connections_max / ANONYMOUS_SHARE).max(1) {
                self.show();
                return Err(Full::Gateway);
            }
        }
        Ok(())
    }

    /// Counts the connection as one that said who it is.
    pub fn show(&mut self) {
        if std::mem::take(&mut self.anonymous) {
            self.seats.anonymous.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.show();
        if let Some(household) = self.household {
            leave(&mut self.seats.lock(), household);
        }
        if let Some(worker) = self.worker {
            self.seats.by_worker[worker.0].fetch_sub(1, Ordering::Relaxed);
        }
        self.seats.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Household ===

impl Household {
    fn of(address: IpAddr) -> Household {
        match address.to_canonical() {
            IpAddr::V4(address) => Household(address.to_ipv6_mapped()),
            IpAddr::V6(address) => Household(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        }
    }
}

fn leave(counts: &mut HashMap<Household, u32, RandomState>, household: Household) {
    if let Some(count) = counts.get_mut(&household) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&household);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(max: u32, per_ip_max: u32) -> Settings {
        Settings { connections_max: max, per_ip_max, ..Settings::default() }
    }

    fn sit(seats: &Arc<Seats>, address: &str, settings: &Settings) -> Option<Seat> {
        let mut seat = seats.take(settings)?;
        seat.settle(address.parse().unwrap(), settings).then_some(seat)
    }

    #[test]
    fn over_the_limit_a_few_are_told_and_the_rest_are_not_let_in() {
        let (seats, settings) = (Seats::new(2), settings(2, 1000));
        let sitting: Vec<Seat> = (0..2 + TOLD_MAX).map(|_| sit(&seats, "192.0.2.1", &settings).unwrap()).collect();
        assert_eq!(sitting[0].check(&settings), Err(Full::Gateway));
        assert!(seats.take(&settings).is_none());
        drop(sitting);
        assert_eq!(seats.taken(), 0);
        assert_eq!(seats.lock().len(), 0);
        assert_eq!(sit(&seats, "192.0.2.1", &settings).unwrap().check(&settings), Ok(()));
    }

    #[test]
    fn a_household_is_an_address_or_a_64() {
        let (seats, settings) = (Seats::new(2), settings(1000, 1));
        let first = sit(&seats, "2001:db8::1", &settings).unwrap();
        let neighbour = sit(&seats, "2001:db8:0:1::1", &settings).unwrap();
        let housemate = sit(&seats, "2001:db8::ffff", &settings).unwrap();
        assert_eq!(neighbour.check(&settings), Ok(()));
        assert_eq!(housemate.check(&settings), Err(Full::Address));
        drop(first);
        assert_eq!(housemate.check(&settings), Ok(()));
        let mapped = sit(&seats, "::ffff:192.0.2.1", &settings).unwrap();
        let plain = sit(&seats, "192.0.2.1", &settings).unwrap();
        assert_eq!(plain.check(&settings), Err(Full::Address));
        drop(mapped);
        assert_eq!(plain.check(&settings), Ok(()));
    }

    #[test]
    fn a_seat_moves_from_the_proxy_to_its_client() {
        let (seats, settings) = (Seats::new(2), settings(1000, 1));
        let mut one = sit(&seats, "10.0.0.1", &settings).unwrap();
        assert!(one.settle("192.0.2.1".parse().unwrap(), &settings));
        let other = sit(&seats, "10.0.0.1", &settings).unwrap();
        assert_eq!(other.check(&settings), Ok(()));
    }

    #[test]
    fn the_worker_with_the_fewest_is_dealt_to() {
        let seats = Seats::new(2);
        let deal = || {
            let mut seat = seats.take(&Settings::default()).unwrap();
            (seat.deal().0, seat)
        };
        let (first, second, third) = (deal(), deal(), deal());
        assert_eq!([first.0, second.0, third.0], [0, 1, 0]);
        drop(first);
        drop(third);
        assert_eq!(deal().0, 0);
    }

    #[test]
    fn a_quarter_may_be_anonymous() {
        let (seats, settings) = (Seats::new(2), settings(8, 1000));
        let mut sitting: Vec<Seat> = (0..3).map(|_| seats.take(&settings).unwrap()).collect();
        assert_eq!(sitting[0].hide(&settings), Ok(()));
        assert_eq!(sitting[1].hide(&settings), Ok(()));
        assert_eq!(sitting[2].hide(&settings), Err(Full::Gateway));
        sitting[0].show();
        assert_eq!(sitting[2].hide(&settings), Ok(()));
        drop(sitting);
        assert_eq!(seats.anonymous.load(Ordering::Relaxed), 0);
    }
}
