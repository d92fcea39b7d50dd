//! Lists in pages. A token is the ID with which the next page begins, so that it stays good when that one goes.

use super::Refusal;
use crate::folder::{Id, Kind};

/// The page of a list that is sorted by ID, and the token of the next one.
///
/// # Errors
/// [`Refusal::Token`], and a negative number of entries.
pub fn page<T>(
    mut all: Vec<T>,
    id: impl Fn(&T) -> &Id,
    kind: Kind,
    starting_token: &str,
    max_entries: i32,
) -> Result<(Vec<T>, String), Refusal> {
    let most = usize::try_from(max_entries)
        .map_err(|_| Refusal::invalid("max_entries", format!("is negative: {max_entries}")))?;
    if !starting_token.is_empty() {
        let start = Id::parse(kind, starting_token);
        let start = start.ok_or_else(|| Refusal::Token(starting_token.to_owned()))?;
        all.retain(|item| *id(item) >= start);
    }
    let mut token = String::new();
    if most > 0 && all.len() > most {
        token = id(&all[most]).to_string();
        all.truncate(most);
    }
    Ok((all, token))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(number: usize) -> Vec<Id> {
        let named = |number: usize| Id::named(Kind::Volume, &number.to_string());
        let mut ids: Vec<Id> = (0..number).map(named).collect();
        ids.sort();
        ids
    }

    fn of(all: &[Id], token: &str, most: i32) -> Result<(Vec<Id>, String), Refusal> {
        page(all.to_vec(), |id| id, Kind::Volume, token, most)
    }

    #[test]
    fn what_is_no_token_is_refused() {
        assert_eq!(of(&ids(3), "2", 0), Err(Refusal::Token("2".to_owned())));
        let refusal = of(&ids(3), "", -1).unwrap_err();
        assert_eq!(refusal.to_string(), "max_entries is negative: -1");
    }

    #[test]
    fn a_token_outlives_what_it_names() {
        let mut all = ids(4);
        let (_, token) = of(&all, "", 2).unwrap();
        let rest = all.split_off(2);
        assert_eq!(rest[0].as_str(), token);
        let (page, token) = of(&rest[1..], &token, 2).unwrap();
        assert_eq!((page.as_slice(), token.as_str()), (&rest[1..], ""));
    }

    proptest! {
        #[test]
        fn all_pages_together_are_the_list(number in 0_usize..20, most in 0_i32..8) {
            let all = ids(number);
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let (page, next) = of(&all, &token, most).unwrap();
                prop_assert!(most == 0 || page.len() <= most as usize);
                seen.extend(page);
                if next.is_empty() {
                    break;
                }
                token = next;
            }
            prop_assert_eq!(seen, all);
        }
    }
}
