//! Lengths of time as the API server shows them: `45s`, `3m20s`, `26h`, `9d`.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The time from a moment written in RFC 3339 to `now`; `<unknown>` without one.
pub(super) fn since(moment: Option<&str>, now: Timestamp) -> String {
    match moment.filter(|text| !text.is_empty()) {
        None => "<unknown>".to_owned(),
        Some(text) => text.parse::<Timestamp>().map_or_else(
            |_| "<invalid>".to_owned(),
            |moment| human(now.as_second() - moment.as_second()),
        ),
    }
}

/// One or two units, the second only while it matters.
fn human(seconds: i64) -> String {
    let pair = |unit: i64, name: char, below: i64, below_name: char, modulus: i64| {
        let (whole, rest) = (seconds / unit, seconds / below % modulus);
        if rest == 0 {
            format!("{whole}{name}")
        } else {
            format!("{whole}{name}{rest}{below_name}")
        }
    };
    match seconds {
        // A moment that has not come yet: clocks differ.
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => pair(MINUTE, 'm', 1, 's', 60),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => pair(HOUR, 'h', MINUTE, 'm', 60),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => pair(DAY, 'd', HOUR, 'h', 24),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => pair(YEAR, 'y', DAY, 'd', 365),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (seconds, text) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR + 60, "3h1m"),
            (8 * HOUR, "8h"),
            (2 * DAY, "2d"),
            (2 * DAY + HOUR, "2d1h"),
            (8 * DAY, "8d"),
            (2 * YEAR + DAY, "2y1d"),
            (9 * YEAR, "9y"),
        ] {
            assert_eq!(human(seconds), text, "{seconds}");
        }
    }
}
