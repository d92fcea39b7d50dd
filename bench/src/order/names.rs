//! Names of functions that last from build to build.

/// A name mangled as v0 without what changes from build to build: the numbers of crates, which stand between `Cs` and
/// `_`, the places in the name that are referred to, between `B` and `_`, since those numbers are before them, and the
/// number behind a dot at the end, by which copies of a function are told apart.
pub fn lasting(name: &str) -> String {
    let name = without_numbers(&without_numbers(name, "Cs", LONGEST_NUMBER), "B", LONGEST_PLACE);
    match name.rsplit_once('.') {
        Some((function, copy)) if copy.bytes().all(|digit| digit.is_ascii_digit()) => format!("{function}."),
        _ => name,
    }
}

/// Digits of the number of a crate.
const LONGEST_NUMBER: usize = 11;
/// Digits of a place in a name.
const LONGEST_PLACE: usize = 3;

/// Without what stands between `mark` and `_`, if that is so many letters and digits at most.
fn without_numbers(name: &str, mark: &str, longest: usize) -> String {
    let mut kept = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find(mark) {
        let (before, behind) = rest.split_at(at + mark.len());
        kept.push_str(before);
        let digits = behind.find(|character: char| !character.is_ascii_alphanumeric());
        rest = match digits {
            Some(digits) if digits <= longest && behind[digits..].starts_with('_') => &behind[digits..],
            _ => behind,
        };
    }
    kept + rest
}

/// Whether a name can be a line of the list.
pub fn is_listed(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_from_build_to_build_is_left_out() {
        for (name, lasts) in [
            ("_RNvCsj4CZ6flxxfE_5hyper4poll", "_RNvCs_5hyper4poll"),
            (
                "_RINvNtCs1_4core3ptr9drop_itNtCsAb9_5tokio3TcpB4_ECs_6bench",
                "_RINvNtCs_4core3ptr9drop_itNtCs_5tokio3TcpB_ECs_6bench",
            ),
            ("_RNvCs4Cg2_5hyper4poll.148594", "_RNvCs_5hyper4poll."),
            ("je_malloc", "je_malloc"),
            ("_RNvB1x_3abc7BarACDE_", "_RNvB_3abc7BarACDE_"),
        ] {
            assert_eq!(lasting(name), lasts);
        }
    }
}
