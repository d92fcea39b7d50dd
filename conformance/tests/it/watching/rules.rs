//! The rules of `dashboards/alerts.yaml`, sixty times as fast.

use std::collections::BTreeSet;

use crate::shared::repository;

/// The longest that an alert may have to hold here, in seconds.
const LONGEST: u64 = 5;
/// Ages above which alerts fire, in seconds; here after some.
const AGES: [u64; 4] = [3600, 1800, 900, 360];
const AGE: u64 = 3;
/// Numbers of objects above which alerts fire; here a fiftieth of them.
const NUMBERS: [u64; 2] = [200, 100];
/// Alerts that no cause from outside brings: each tells of a defect of ours. `promtool` tries them.
const OF_DEFECTS: [(&str, &str); 2] = [
    ("Panics", "a program of ours must have met its own defect"),
    (
        "WatchStale",
        "a watch that is silent for three minutes is given up (layer faults): ten minutes are a defect",
    ),
];

/// The rules with minutes as seconds: windows, and how long something must hold.
pub fn fast() -> String {
    let text = std::fs::read_to_string(repository().join("dashboards/alerts.yaml")).unwrap();
    let line = |line: &str| {
        let held = ["for: ", "keep_firing_for: "].map(|key| (key, line.trim_start().strip_prefix(key)));
        match held {
            [(key, Some(time)), _] | [_, (key, Some(time))] => {
                let seconds = in_minutes(time).min(LONGEST);
                format!("    {key}{seconds}s\n")
            }
            _ => format!("{}\n", with_fast_windows(line)),
        }
    };
    let mut fast: String = text.lines().map(line).collect();
    for age in AGES {
        fast = fast.replace(&format!("> {age}\n"), &format!("> {AGE}\n"));
    }
    for number in NUMBERS {
        fast = fast.replace(&format!("> {number}\n"), &format!("> {}\n", number / 50));
    }
    fast
}

/// The alerts that a cause from outside brings.
pub fn alerts() -> BTreeSet<String> {
    let text = std::fs::read_to_string(repository().join("dashboards/alerts.yaml")).unwrap();
    let mut all: BTreeSet<String> = names(&text).collect();
    for (alert, why) in OF_DEFECTS {
        assert!(all.remove(alert), "{alert} is no alert ({why})");
    }
    all
}

fn names(rules: &str) -> impl Iterator<Item = String> {
    let named = |line: &str| line.trim_start().strip_prefix("- alert: ").map(str::to_owned);
    rules.lines().filter_map(named)
}

/// `[15m]` is `[15s]`; a window of a second or five has no two scrapes to compare at a busy moment.
fn with_fast_windows(line: &str) -> String {
    let mut parts = line.split('[');
    let mut fast = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((time, rest)) if time.ends_with(['m', 'h']) => {
                let seconds = in_minutes(time).max(10);
                fast.push_str(&format!("[{seconds}s]{rest}"));
            }
            _ => {
                fast.push('[');
                fast.push_str(part);
            }
        }
    }
    fast
}

fn in_minutes(time: &str) -> u64 {
    let (number, unit) = time.split_at(time.len() - 1);
    let number: u64 = number.parse().unwrap();
    match unit {
        "m" => number,
        "h" => number * 60,
        _ => panic!("a time in minutes or hours: {time}"),
    }
}

#[test]
fn minutes_are_seconds() {
    assert_eq!(
        with_fast_windows("rate(a[15m]) / rate(b[6h])"),
        "rate(a[15s]) / rate(b[360s])"
    );
    let fast = fast();
    for slow in ["[15m]", "for: 10m", "for: 25m", "> 3600", "> 200\n"] {
        assert!(!fast.contains(slow), "{slow}");
    }
}

#[test]
fn every_alert_has_its_runbook() {
    let text = std::fs::read_to_string(repository().join("dashboards/alerts.yaml")).unwrap();
    let alerts: Vec<String> = names(&text).collect();
    let page = |line: &str| line.trim_start().strip_prefix("runbook_url: ").map(str::to_owned);
    let pages: Vec<String> = text.lines().filter_map(page).collect();
    let expected: Vec<String> = alerts
        .iter()
        .map(|alert| format!("docs/runbooks/{alert}.md"))
        .collect();
    assert_eq!(pages, expected);
    let missing: Vec<&String> = pages
        .iter()
        .filter(|page| !repository().join(page).is_file())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    let written = std::fs::read_dir(repository().join("docs/runbooks"))
        .unwrap()
        .count();
    assert_eq!(written, pages.len() + 1, "a page for each alert, and their index");
}
