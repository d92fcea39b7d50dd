//! Filters and pages of the Describe actions, and the resources that they are asked for by ID.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::errors::Ec2Error;
use super::options::Rules;
use super::query::Form;
use super::tags::Tags;

const MOST_VALUES: usize = 200;
const LEAST_ROWS: i32 = 5;

/// The filters of one request: all must hold, and of each any value.
#[derive(Debug, Default)]
pub(super) struct Filters {
    filters: Vec<Filter>,
}

#[derive(Debug)]
struct Filter {
    name: String,
    /// Values without wildcards.
    texts: BTreeSet<String>,
    patterns: Vec<Vec<char>>,
}

impl Filter {
    fn new(name: String, values: Vec<String>) -> Self {
        let (patterns, texts): (Vec<String>, _) = values
            .into_iter()
            .partition(|value| value.contains(['*', '?', '\\']));
        Self {
            name,
            texts: texts.into_iter().collect(),
            patterns: patterns.iter().map(|pattern| pattern.chars().collect()).collect(),
        }
    }

    fn fits(&self, value: &str) -> bool {
        self.texts.contains(value) || self.patterns.iter().any(|pattern| fits(pattern, value))
    }
}

impl Filters {
    /// Takes out the filters. `names` are those that the action knows; with `tagged` also `tag:KEY` and `tag-key`.
    ///
    /// # Errors
    /// `InvalidParameterValue` for other names, `FilterLimitExceeded` above 200 values.
    pub(super) fn take(form: &mut Form, names: &[&str], tagged: bool) -> Result<Self, Ec2Error> {
        let mut filters = Vec::new();
        let mut number = 0;
        for mut record in form.records("Filter") {
            let name = record.required("Name")?;
            let values = record.list("Value");
            record.finish()?;
            let of_tags = tagged && (name == "tag-key" || name.starts_with("tag:"));
            if !of_tags && !names.contains(&name.as_str()) {
                return Err(Ec2Error::invalid(format!("The filter '{name}' is invalid")));
            }
            number += values.len();
            filters.push(Filter::new(name, values));
        }
        if number > MOST_VALUES {
            return Err(Ec2Error::new(
                "FilterLimitExceeded",
                format!("The maximum number of filter values specified on a single call is {MOST_VALUES}"),
            ));
        }
        Ok(Self { filters })
    }

    /// Whether a resource passes; `field` gives the values of it that a filter name speaks of.
    pub(super) fn pass(&self, tags: &Tags, now: Timestamp, field: impl Fn(&str) -> Vec<String>) -> bool {
        self.filters.iter().all(|filter| {
            let values = match filter.name.strip_prefix("tag:") {
                Some(key) => return tags.found(key, now).is_some_and(|value| filter.fits(value)),
                None if filter.name == "tag-key" => tags.found_keys(now),
                None => field(&filter.name),
            };
            values.iter().any(|value| filter.fits(value))
        })
    }
}

/// A value that may be absent, for [`Filters::pass`].
pub(super) fn one(value: Option<impl ToString>) -> Vec<String> {
    value.map(|value| value.to_string()).into_iter().collect()
}

/// The resources with these IDs, all where none are given, in the order of their IDs.
pub(super) fn chosen<'a, T>(all: &'a BTreeMap<String, T>, ids: &'a [String]) -> impl Iterator<Item = &'a T> {
    let named: BTreeSet<&String> = ids.iter().collect();
    let named = named.into_iter().filter_map(|id| all.get(id));
    let every = ids.is_empty().then(|| all.values()).into_iter().flatten();
    named.chain(every)
}

/// Whether a text fits a pattern in which `*` is any text, `?` any character and `\` takes the next one as it is.
fn fits(pattern: &[char], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut in_text) = (0, 0);
    let mut resume: Option<(usize, usize)> = None;
    while in_text < text.len() {
        match pattern.get(at) {
            Some('*') => {
                resume = Some((at + 1, in_text));
                at += 1;
                continue;
            }
            Some('\\') if pattern.get(at + 1) == Some(&text[in_text]) => {
                at += 2;
                in_text += 1;
                continue;
            }
            Some(wanted) if *wanted != '\\' && (*wanted == '?' || *wanted == text[in_text]) => {
                at += 1;
                in_text += 1;
                continue;
            }
            _ => {}
        }
        let Some((after_star, begun)) = resume else {
            return false;
        };
        resume = Some((after_star, begun + 1));
        (at, in_text) = (after_star, begun + 1);
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// Which rows of a list are wanted.
#[derive(Debug)]
pub(super) struct Page {
    rows: usize,
    after: Option<String>,
}

impl Page {
    /// Takes out `MaxResults` and `NextToken`. `MaxResults` 0 is as absent; above `most` it is `most`.
    ///
    /// # Errors
    /// `InvalidParameterValue` for 1 to 4 and for a token that is none of ours; `InvalidParameterCombination` when
    /// `ids`, the name of an ID list in the request, is given too.
    pub(super) fn take(
        form: &mut Form,
        most: usize,
        ids: Option<&str>,
        rules: &Rules,
    ) -> Result<Self, Ec2Error> {
        let asked = form.integer("MaxResults")?.filter(|rows| *rows != 0);
        let token = form.text("NextToken").filter(|token| !token.is_empty());
        if let Some(rows) = asked.filter(|rows| *rows < LEAST_ROWS) {
            return Err(Ec2Error::invalid_value(
                "maxResults",
                &rows.to_string(),
                &format!("Expecting a value greater than or equal to {LEAST_ROWS}."),
            ));
        }
        if let (Some(ids), Some(_)) = (ids, asked) {
            return Err(Ec2Error::combination(format!(
                "The parameter {ids} cannot be used with the parameter maxResults"
            )));
        }
        let rows = asked.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(most);
        let after = token.map(|token| {
            let bytes = hex::decode(&token).ok();
            bytes
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| Ec2Error::invalid("Unable to parse pagination token"))
        });
        Ok(Self {
            rows: rows.min(most).min(rules.page.max(1)),
            after: after.transpose()?,
        })
    }

    /// The wanted rows of a list in the order of its keys, and the token of the page after them.
    pub(super) fn cut<T>(self, rows: impl IntoIterator<Item = (String, T)>) -> (Vec<T>, Option<String>) {
        let mut rest = rows
            .into_iter()
            .filter(|(key, _)| self.after.as_ref().is_none_or(|after| key > after));
        let mut page = Vec::new();
        let mut last = String::new();
        for (key, row) in rest.by_ref().take(self.rows) {
            page.push(row);
            last = key;
        }
        let next = rest.next().map(|_| hex::encode(last));
        (page, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "A", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*b*", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "", true),
            ("*", "", true),
            ("", "a", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            (r"*\?", "ab?", true),
            ("*ab*ab", "abxab", true),
            ("*ab*ab", "ab", false),
        ] {
            let filter = Filter::new("description".to_owned(), vec![pattern.to_owned()]);
            assert_eq!(filter.fits(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn pages_end_with_a_token_only_when_more_follows() {
        let rows = || (0..7).map(|number| (format!("k{number}"), number));
        let page = |token: Option<String>, rows| {
            let after = token.map(|token| String::from_utf8(hex::decode(token).unwrap()).unwrap());
            Page { rows, after }
        };
        let (first, token) = page(None, 5).cut(rows());
        assert_eq!(first, [0, 1, 2, 3, 4]);
        let (second, token) = page(token, 5).cut(rows());
        assert_eq!((second, token), (vec![5, 6], None));
        assert_eq!(page(None, 7).cut(rows()).1, None);
    }
}
