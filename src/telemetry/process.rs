//! What the kernel says of this process. Nothing where it has no `/proc`.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// One look.
#[derive(Debug)]
pub struct Process {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub open_fds: u64,
    /// Nothing: as many as it likes.
    pub max_fds: Option<u64>,
    /// Since 1970.
    pub start_seconds: f64,
}

// === impl Process ===

impl Process {
    pub fn look() -> Option<Process> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name stands in parentheses and may hold anything; the state behind it is the third field.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = clock_ticks_per_second() as f64;
        Some(Process {
            cpu_seconds: (field(14)? + field(15)?) as f64 / ticks,
            resident_bytes: field(24)? * page_size() as u64,
            open_fds: u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
            max_fds: getrlimit(Resource::Nofile).current,
            start_seconds: booted()? as f64 + field(22)? as f64 / ticks,
        })
    }
}

/// When the machine began, in seconds since 1970.
fn booted() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_there_and_not_older_than_its_machine() {
        let process = Process::look().expect("Linux has a /proc");
        assert!(process.resident_bytes > 1 << 20 && process.open_fds > 2, "{process:?}");
        let age = Clock::system().now_ms() as f64 / 1e3 - process.start_seconds;
        assert!((-2.0..86_400.0).contains(&age), "{process:?}");
    }
}
