//! Reports what the system knows of this process, under the names that all programs use for it.
//!
//! Linux only: elsewhere these metrics are absent, and an alert can distinguish that from zero.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads the process anew for each scrape.
#[derive(Debug)]
pub(crate) struct Process;

/// How many files and sockets this process may have open. None where that is unlimited or unknown.
pub(crate) fn open_files_limit() -> Option<u64> {
    system::open_files_limit()
}

/// One reading of the process's figures.
struct Sample {
    cpu_s: f64,
    started_s: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_files: u64,
    open_files_limit: Option<u64>,
    threads: u64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(sample) = system::read() else {
            return Ok(());
        };
        let cpu = ConstCounter::new(sample.cpu_s);
        add(&mut encoder, "process_cpu_seconds", "Processor time used", &cpu)?;
        let started = ConstGauge::new(sample.started_s);
        add(&mut encoder, "process_start_time_seconds", "Start, in seconds since 1970", &started)?;
        let gauges = [
            ("process_resident_memory_bytes", "Memory in use", Some(sample.resident_bytes)),
            ("process_virtual_memory_bytes", "Address space in use", Some(sample.virtual_bytes)),
            ("process_open_fds", "Open files and sockets", Some(sample.open_files)),
            ("process_max_fds", "Open files and sockets at most", sample.open_files_limit),
            ("process_threads", "Threads", Some(sample.threads)),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                add(&mut encoder, name, help, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}

fn add(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

#[cfg(target_os = "linux")]
mod system {
    use procfs::process::{LimitValue, Process};

    use super::Sample;

    /// What `/proc` says. None where it is hidden.
    #[expect(clippy::cast_precision_loss, reason = "ticks stay far below what a float can count")]
    pub(super) fn read() -> Option<Sample> {
        let process = Process::myself().ok()?;
        let stat = process.stat().ok()?;
        let tick = procfs::ticks_per_second() as f64;
        Some(Sample {
            cpu_s: (stat.utime + stat.stime) as f64 / tick,
            started_s: procfs::boot_time_secs().ok()? as f64 + stat.starttime as f64 / tick,
            resident_bytes: stat.rss * procfs::page_size(),
            virtual_bytes: stat.vsize,
            open_files: u64::try_from(process.fd_count().ok()?).ok()?,
            open_files_limit: open_files_limit(),
            threads: u64::try_from(stat.num_threads).ok()?,
        })
    }

    pub(super) fn open_files_limit() -> Option<u64> {
        match Process::myself().ok()?.limits().ok()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit),
            LimitValue::Unlimited => None,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::Sample;

    pub(super) fn read() -> Option<Sample> {
        None
    }

    pub(super) fn open_files_limit() -> Option<u64> {
        None
    }
}
