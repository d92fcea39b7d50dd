//! Regular expressions as Go reads them.
//!
//! Within brackets a bracket that opens is a character there; to the crate `regex` it begins a class within the class, and
//! `&&`, `--` and `~~` combine classes.

use regex::Regex;

/// Compiles a pattern.
///
/// # Errors
/// As [`Regex::new`].
pub(super) fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&translated(pattern))
}

fn translated(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len());
    let mut characters = pattern.chars().peekable();
    let mut within = false;
    while let Some(c) = characters.next() {
        let next = characters.peek().copied();
        match (within, c) {
            (_, '\\') => {
                translated.push(c);
                translated.extend(characters.next());
                continue;
            }
            (false, '[') => {
                within = true;
                translated.push(c);
                // One that closes is a character where it comes first.
                for first in ['^', ']'] {
                    translated.extend(characters.next_if_eq(&first));
                }
                // So is a dash, and the one after it makes a range.
                if characters.next_if_eq(&'-').is_some() {
                    translated.push_str("\\-");
                }
                continue;
            }
            (true, '[') if next == Some(':') => {
                // A class with a name, up to its own bracket.
                translated.push(c);
                for inner in characters.by_ref() {
                    translated.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
                continue;
            }
            (true, ']') => within = false,
            (true, '[') => translated.push('\\'),
            (true, '&' | '~') if next == Some(c) => translated.push('\\'),
            // A range up to the dash.
            (true, '-') if next == Some('-') => {
                translated.push_str("-\\");
                characters.next();
            }
            _ => {}
        }
        translated.push(c);
    }
    translated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_within_brackets_are_characters() {
        for (pattern, good, bad) in [
            ("^[^][ ()]+$", "a&b", "a[b"),
            ("^[[]a]$", "[a]", "a"),
            ("^[[:alpha:]&&b]+$", "a&b", "1"),
            ("^[a\\]b]+$", "a]b", "c"),
            ("^[a-c[x-z]$", "[", "d"),
            ("^\\[[0-9]+\\]$", "[12]", "12"),
            ("^[!--]$", "+", "a"),
            ("^[--9]$", "5", "+"),
            ("^[-a]$", "-", "b"),
        ] {
            let compiled = compiled(pattern).unwrap();
            assert!(compiled.is_match(good) && !compiled.is_match(bad), "{pattern}");
        }
        assert!(compiled("(").is_err());
    }
}
