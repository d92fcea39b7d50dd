//! Times as the API server reads and writes them.

use jiff::Timestamp;

/// How fine the times of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    /// `metav1.Time`: fractions may be written and are dropped.
    Seconds,
    /// `metav1.MicroTime`: six digits of a second, no more and no less.
    Micros,
}

impl Precision {
    /// The form of the time, in the way in which Go writes forms.
    const fn layout(self) -> &'static str {
        match self {
            Self::Seconds => "2006-01-02T15:04:05Z07:00",
            Self::Micros => "2006-01-02T15:04:05.000000Z07:00",
        }
    }

    /// The form in which it is written.
    const fn form(self) -> &'static str {
        match self {
            Self::Seconds => "%Y-%m-%dT%H:%M:%SZ",
            Self::Micros => "%Y-%m-%dT%H:%M:%S%.6fZ",
        }
    }
}

/// What is wrong with a time.
enum Fault<'a> {
    /// The rest of the text is not what this part of the form stands for.
    Form(&'a str, &'static str),
    /// This part is too large.
    Range(&'static str),
    /// The text goes on.
    More(&'a str),
}

/// Reads a time: the same in UTC, in the form in which the field is written.
///
/// # Errors
/// The text of the API server.
pub(super) fn read(precision: Precision, text: &str) -> Result<String, String> {
    let layout = precision.layout();
    match parse(precision, text) {
        Ok(time) => Ok(time.strftime(precision.form()).to_string()),
        Err(Fault::Form(rest, part)) => Err(format!(
            "parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {part:?}"
        )),
        Err(Fault::Range(part)) => Err(format!("parsing time {text:?}: {part} out of range")),
        Err(Fault::More(rest)) => Err(format!("parsing time {text:?}: extra text: {rest:?}")),
    }
}

fn parse(precision: Precision, text: &str) -> Result<Timestamp, Fault<'_>> {
    let mut rest = text;
    let year = digits(&mut rest, 4, "2006")?;
    skip(&mut rest, "-")?;
    let month = within(digits(&mut rest, 2, "01")?, 1, 12, "month")?;
    skip(&mut rest, "-")?;
    let day = within(digits(&mut rest, 2, "02")?, 1, 31, "day")?;
    skip(&mut rest, "T")?;
    let hour = within(digits(&mut rest, 2, "15")?, 0, 23, "hour")?;
    skip(&mut rest, ":")?;
    let minute = within(digits(&mut rest, 2, "04")?, 0, 59, "minute")?;
    skip(&mut rest, ":")?;
    let second = within(digits(&mut rest, 2, "05")?, 0, 59, "second")?;
    let nanosecond = match precision {
        Precision::Seconds => {
            fraction(&mut rest);
            0
        }
        Precision::Micros => micros(&mut rest)? * 1000,
    };
    let offset_seconds = offset(&mut rest)?;
    if !rest.is_empty() {
        return Err(Fault::More(rest));
    }
    let small = |number: i32| i8::try_from(number).unwrap_or_default();
    let year = i16::try_from(year).unwrap_or_default();
    let day = jiff::civil::Date::new(year, small(month), small(day)).map_err(|_| Fault::Range("day"))?;
    let local = day.at(small(hour), small(minute), small(second), nanosecond);
    let local = local
        .to_zoned(jiff::tz::TimeZone::UTC)
        .map_err(|_| Fault::Range("year"))?;
    let shift = jiff::SignedDuration::from_secs(i64::from(offset_seconds));
    local
        .timestamp()
        .checked_sub(shift)
        .map_err(|_| Fault::Range("year"))
}

/// A number of so many digits.
fn digits<'a>(rest: &mut &'a str, length: usize, part: &'static str) -> Result<i32, Fault<'a>> {
    let head = rest
        .get(..length)
        .filter(|head| head.bytes().all(|byte| byte.is_ascii_digit()));
    let number = head.and_then(|head| head.parse().ok());
    let number = number.ok_or(Fault::Form(rest, part))?;
    *rest = &rest[length..];
    Ok(number)
}

fn skip<'a>(rest: &mut &'a str, part: &'static str) -> Result<(), Fault<'a>> {
    *rest = rest.strip_prefix(part).ok_or(Fault::Form(rest, part))?;
    Ok(())
}

fn within(number: i32, least: i32, most: i32, part: &'static str) -> Result<i32, Fault<'static>> {
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(Fault::Range(part))
    }
}

/// Drops a point and digits, if they come next.
fn fraction(rest: &mut &str) {
    if let Some(after) = rest.strip_prefix(['.', ',']) {
        let tail = after.trim_start_matches(|c: char| c.is_ascii_digit());
        if tail.len() < after.len() {
            *rest = tail;
        }
    }
}

fn micros<'a>(rest: &mut &'a str) -> Result<i32, Fault<'a>> {
    let wrong = Fault::Form(rest, ".000000");
    let Some(mut after) = rest.strip_prefix(['.', ',']) else {
        return Err(wrong);
    };
    let number = digits(&mut after, 6, ".000000").map_err(|_| wrong)?;
    *rest = after;
    Ok(number)
}

/// `Z`, or hours and minutes east of it: seconds.
fn offset<'a>(rest: &mut &'a str) -> Result<i32, Fault<'a>> {
    if let Some(after) = rest.strip_prefix('Z') {
        *rest = after;
        return Ok(0);
    }
    let wrong = |rest: &'a str| Fault::Form(rest, "Z07:00");
    let (sign, whole) = match rest.as_bytes().first() {
        Some(b'+') => (1, *rest),
        Some(b'-') => (-1, *rest),
        _ => return Err(wrong(rest)),
    };
    let mut after = &whole[1..];
    let read = |after: &mut &'a str| -> Result<i32, Fault<'a>> {
        let hours = within(digits(after, 2, "Z07:00")?, 0, 24, "time zone offset hour")?;
        skip(after, ":")?;
        let minutes = within(digits(after, 2, "Z07:00")?, 0, 60, "time zone offset minute")?;
        Ok(hours * 3600 + minutes * 60)
    };
    match read(&mut after) {
        Ok(seconds) => {
            *rest = after;
            Ok(sign * seconds)
        }
        Err(Fault::Range(part)) => Err(Fault::Range(part)),
        Err(_) => Err(wrong(whole)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_out_in_utc() {
        for (precision, text, read_as) in [
            (Precision::Seconds, "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            (
                Precision::Seconds,
                "2026-01-02T03:04:05.999Z",
                "2026-01-02T03:04:05Z",
            ),
            (
                Precision::Seconds,
                "2026-01-02T03:04:05+02:00",
                "2026-01-02T01:04:05Z",
            ),
            (
                Precision::Micros,
                "2026-01-02T03:04:05.000000Z",
                "2026-01-02T03:04:05.000000Z",
            ),
            (
                Precision::Micros,
                "2026-01-02T03:04:05.123456-01:30",
                "2026-01-02T04:34:05.123456Z",
            ),
        ] {
            assert_eq!(read(precision, text).as_deref(), Ok(read_as), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_text_of_the_real_one() {
        let micros = "as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse";
        for (precision, text, why) in [
            (
                Precision::Micros,
                "2026-01-02T03:04:05Z",
                format!("{micros} \"Z\" as \".000000\""),
            ),
            (
                Precision::Micros,
                "2026-01-02T03:04:05.123Z",
                format!("{micros} \".123Z\" as \".000000\""),
            ),
            (
                Precision::Micros,
                "2026-01-02T03:04:05.1234567Z",
                format!("{micros} \"7Z\" as \"Z07:00\""),
            ),
            (Precision::Micros, "2026-01-02", format!("{micros} \"\" as \"T\"")),
            (Precision::Micros, "", format!("{micros} \"\" as \"2006\"")),
            (
                Precision::Seconds,
                "2026-01-02T03:04:05é",
                "cannot parse \"é\" as \"Z07:00\"".to_owned(),
            ),
            (
                Precision::Seconds,
                "2026-01-02T03:04:05+2:00",
                "cannot parse \"+2:00\" as \"Z07:00\"".to_owned(),
            ),
            (
                Precision::Seconds,
                "2026-13-02T03:04:05Z",
                ": month out of range".to_owned(),
            ),
            (
                Precision::Seconds,
                "2026-02-30T03:04:05Z",
                ": day out of range".to_owned(),
            ),
            (
                Precision::Seconds,
                "2026-01-02T03:04:05Z!",
                ": extra text: \"!\"".to_owned(),
            ),
        ] {
            let error = read(precision, text).unwrap_err();
            assert!(error.starts_with(&format!("parsing time {text:?}")), "{error}");
            assert!(error.ends_with(&why), "{error}");
        }
    }
}
