//! The CPU time of another process, user and kernel, in nanoseconds and not in ticks.

use std::time::Duration;
use std::{fs, io};

/// The sum over the threads that live; one that ends between two readings takes its time with it, so none may be short-lived on the hot path.
pub fn of_process(process: u32) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end between listing and reading.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let on_cpu = text.split(' ').next().and_then(|field| field.parse().ok());
        total += Duration::from_nanos(on_cpu.ok_or_else(|| io::Error::other("schedstat has no first field"))?);
    }
    Ok(total)
}
