//! Processor time and memory of a process, from `/proc`.

use anyhow::Context;

use crate::reading::{Memory, Usage};

/// Length of the unit of processor time in `/proc`: 100 to the second on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the process with this ID has used.
///
/// # Errors
/// When there is no such process.
pub fn of(id: u32) -> anyhow::Result<Usage> {
    let read = |file: &str| {
        let path = format!("/proc/{id}/{file}");
        std::fs::read_to_string(&path).with_context(|| format!("reading {path}: has the process ended?"))
    };
    Ok(Usage {
        cpu_seconds: cpu_seconds(&read("stat")?).with_context(|| format!("no times in /proc/{id}/stat"))?,
        memory: memory(&read("status")?)
            .with_context(|| format!("no VmRSS and RssAnon in /proc/{id}/status"))?,
    })
}

/// What this process has used.
///
/// # Errors
/// When `/proc` is not there.
pub fn of_this_process() -> anyhow::Result<Usage> {
    of(std::process::id())
}

/// The name of the program stands in parentheses and may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    // Fields 14 and 15 of proc(5), counted from 1; the first after the name is the third.
    let mut times = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn memory(status: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory {
        anonymous_bytes: bytes("RssAnon:")?,
        resident_bytes: bytes("VmRSS:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 1000 10";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("42 (a"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "VmSize:\t 9 kB\nVmRSS:\t    12 kB\nRssAnon:\t 3 kB\nRssFile:\t 9 kB\n";
        let expected = Memory {
            anonymous_bytes: 3_072,
            resident_bytes: 12_288,
        };
        assert_eq!(memory(status), Some(expected));
        assert_eq!(memory("VmRSS:\t 12 kB\n"), None);
    }
}
