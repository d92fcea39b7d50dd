//! Parameters as tables: what reads a class and what `docs/parameters.md` is made from are one list.

use super::ParameterError;

/// What takes a value, given the key as the class spells it.
type Set<P> = fn(&mut P, &str, &str) -> Result<(), ParameterError>;

/// A parameter that is known.
#[derive(Debug)]
pub struct Known<P: 'static> {
    /// Its usual spelling; `*` at the end stands for anything.
    pub key: &'static str,
    /// What may stand there.
    pub values: &'static str,
    /// What it does.
    pub meaning: &'static str,
    set: Set<P>,
}

impl<P> Known<P> {
    pub(super) const fn new(
        key: &'static str,
        values: &'static str,
        meaning: &'static str,
        set: Set<P>,
    ) -> Self {
        Self {
            key,
            values,
            meaning,
            set,
        }
    }

    /// Whether this is the parameter of a key, spelled exactly as here.
    fn is(&self, key: &str) -> bool {
        match self.key.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == self.key,
        }
    }

    /// The same where keys may be spelled in any case, those of tags excepted; `lower` is in lower case.
    fn is_lower(&self, lower: &str) -> bool {
        match self.key.strip_suffix('*') {
            Some(prefix) => lower.starts_with(prefix),
            None => lower == self.key.to_lowercase(),
        }
    }
}

/// Takes a value for the parameter of this key.
pub(super) fn set<P>(known: &[Known<P>], to: &mut P, key: &str, value: &str) -> Result<(), ParameterError> {
    take(known.iter().find(|one| one.is(key)), to, key, value)
}

/// The same by a key in lower case; `key` is as it was given.
pub(super) fn set_lower<P>(
    known: &[Known<P>],
    to: &mut P,
    lower: &str,
    key: &str,
    value: &str,
) -> Result<(), ParameterError> {
    take(known.iter().find(|one| one.is_lower(lower)), to, key, value)
}

fn take<P>(known: Option<&Known<P>>, to: &mut P, key: &str, value: &str) -> Result<(), ParameterError> {
    match known {
        Some(known) => (known.set)(to, key, value),
        None => Err(ParameterError::Unknown { key: key.to_owned() }),
    }
}
