//! Mount options as users write them.

/// The single options of a list whose items may hold several, separated by commas. A comma within double quotes is a part
/// of a value, as in a context of SELinux.
#[must_use]
pub fn single(items: &[String]) -> Vec<String> {
    let mut singles = Vec::new();
    for item in items {
        let mut is_quoted = false;
        let parts = item.split(|character: char| {
            is_quoted ^= character == '"';
            character == ',' && !is_quoted
        });
        let parts = parts.map(str::trim).filter(|part| !part.is_empty());
        singles.extend(parts.map(str::to_owned));
    }
    singles
}

/// Whether these options mount read-only: the last word counts.
#[must_use]
pub fn is_read_only(options: &[String]) -> bool {
    let last = options
        .iter()
        .rfind(|option| matches!(option.as_str(), "ro" | "rw"));
    last.is_some_and(|option| option == "ro")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_within_quotes_is_a_part_of_a_value() {
        let quoted = r#"context="a:s0:c1,c2""#;
        let items = ["noatime,nodiratime".to_owned(), quoted.to_owned()];
        assert_eq!(single(&items), ["noatime", "nodiratime", quoted]);
    }

    #[test]
    fn the_last_word_counts() {
        for (options, expected) in [
            ("", false),
            ("ro", true),
            ("ro,rw", false),
            ("rw,noatime,ro", true),
        ] {
            assert_eq!(
                is_read_only(&single(&[options.to_owned()])),
                expected,
                "{options}"
            );
        }
    }
}
