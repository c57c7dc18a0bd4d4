//! Latencies of one measurement, kept one by one and sorted at the end.
//!
//! A few million of them are a few megabytes, and exact percentiles need no histogram to be trusted.

use std::time::Duration;

#[derive(Default)]
pub struct Latencies(Vec<u32>);

// === impl Latencies ===

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_nanos()).unwrap_or(u32::MAX));
    }

    pub fn append(&mut self, mut other: Latencies) {
        self.0.append(&mut other.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// `"p50_us":…,"p99_us":…`, the inside of a JSON object. Zero when nothing was recorded.
    pub fn to_json(&mut self) -> String {
        self.0.sort_unstable();
        format!(r#""p50_us":{:.1},"p99_us":{:.1}"#, self.percentile(50), self.percentile(99))
    }

    /// In microseconds; the list must be sorted.
    fn percentile(&self, percent: usize) -> f64 {
        let at = self.0.len() * percent / 100;
        f64::from(self.0.get(at).copied().unwrap_or(0)) / 1000.0
    }
}
