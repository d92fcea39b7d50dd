//! Equality of error texts that differ only in what changes from one failure to the next: request IDs, times,
//! addresses (Q29). Without it each retry would write a new status and a new event.

/// The text with IDs, times, durations and long numbers replaced by `#`.
#[must_use]
pub fn mask(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        // A sentence's full stop and a colon after a word are no part of it.
        let core = word.trim_end_matches(['.', ':', '-', '+']);
        out.push_str(if is_variable(core) { "#" } else { core });
        out.push_str(&word[core.len()..]);
        let other = after.find(is_part).unwrap_or(after.len());
        out.push_str(&after[..other]);
        rest = &after[other..];
    }
    out
}

fn is_part(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | ':' | '.' | '_' | '+' | 'µ')
}

fn is_variable(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        return false;
    }
    let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let is_clock = word.contains(':') && word.starts_with(|first: char| first.is_ascii_digit());
    let is_opaque = word.len() >= 20 && !word.contains(['.', ':']);
    digits >= 6 || (is_hex && word.len() >= 8) || is_opaque || is_clock || is_duration(word)
}

/// `35.2ms`, `1m30.5s` and the like.
fn is_duration(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit())
        && word.ends_with(['s', 'm', 'h'])
        && word
            .chars()
            .all(|character| character.is_ascii_digit() || ".hmsunµ".contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_masked_and_the_rest_is_kept() {
        for (text, masked) in [
            ("no digits at all", "no digits at all"),
            ("5 of 20 slots", "5 of 20 slots"),
            (
                "request id: 7a62c49f-347e-4fc4-9331-6e8eEXAMPLE, api error",
                "request id: #, api error",
            ),
            ("RequestID: d3adbeef.", "RequestID: #."),
            ("at 2026-11-21T09:00:01Z: failed", "at #: failed"),
            ("took 1m30.5s, then 35.2ms", "took #, then #"),
            ("volume vol-0123456789abcdef0", "volume #"),
            ("host id AZx9KqPlmnbVcxzLkjhg2", "host id #"),
            ("dial tcp 10.0.0.1:41234", "dial tcp #"),
            (
                "code = InvalidArgument desc = io2",
                "code = InvalidArgument desc = io2",
            ),
        ] {
            assert_eq!(mask(text), masked, "{text}");
        }
    }
}
