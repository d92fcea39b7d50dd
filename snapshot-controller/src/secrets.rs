//! Secret templates of a class (spec snapshot 3.6).
//!
//! The namespace may be made of the content's name and the snapshot's namespace, never of the snapshot's
//! name: whoever may create snapshots would otherwise choose the namespace.

use std::collections::{BTreeMap, BTreeSet};

use crds::names::parameters::{SECRET_NAME as SECRET_NAME_KEY, SECRET_NAMESPACE as SECRET_NAMESPACE_KEY};

const CONTENT_NAME: &str = "volumesnapshotcontent.name";
const SNAPSHOT_NAMESPACE: &str = "volumesnapshot.namespace";
const SNAPSHOT_NAME: &str = "volumesnapshot.name";

/// A Secret by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReference {
    /// Name of the Secret.
    pub name: String,
    /// Namespace of the Secret.
    pub namespace: String,
}

/// What the templates may use.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// Name of the content.
    pub content_name: &'a str,
    /// Namespace of the snapshot.
    pub snapshot_namespace: &'a str,
    /// Name of the snapshot.
    pub snapshot_name: &'a str,
}

/// Why the templates of a class give no Secret. Never holds a secret's data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// One of the two parameters is missing.
    #[error("either name and namespace for Snapshotter secrets specified, Both must be specified")]
    OnlyOne,
    /// A parameter is there and empty.
    #[error("class parameter {key} must not be empty")]
    Empty {
        /// The parameter.
        key: &'static str,
    },
    /// A template uses a token that does not exist here.
    #[error("error resolving class parameter {key} {template:?}: invalid tokens: {tokens:?}")]
    UnknownTokens {
        /// The parameter.
        key: &'static str,
        /// Its value.
        template: String,
        /// The tokens, sorted.
        tokens: Vec<String>,
    },
    /// The result cannot be the name of an object.
    #[error("class parameter {key} {template:?} resolved to {resolved:?}, which is no valid {what}")]
    InvalidName {
        /// The parameter.
        key: &'static str,
        /// Its value.
        template: String,
        /// What the value became.
        resolved: String,
        /// The rule it breaks.
        what: &'static str,
    },
}

/// Resolves the Secret for CreateSnapshot and DeleteSnapshot; none when the class names none.
///
/// # Errors
/// When the parameters are incomplete, use an unknown token or give an invalid name.
pub fn snapshotter_secret(
    parameters: &BTreeMap<String, String>,
    tokens: Tokens<'_>,
) -> Result<Option<SecretReference>, SecretError> {
    let (name, namespace) = match (
        parameters.get(SECRET_NAME_KEY),
        parameters.get(SECRET_NAMESPACE_KEY),
    ) {
        (None, None) => return Ok(None),
        (Some(name), Some(namespace)) => (name, namespace),
        (Some(_), None) | (None, Some(_)) => return Err(SecretError::OnlyOne),
    };
    let for_namespace = BTreeMap::from([
        (CONTENT_NAME, tokens.content_name),
        (SNAPSHOT_NAMESPACE, tokens.snapshot_namespace),
    ]);
    let mut for_name = for_namespace.clone();
    for_name.insert(SNAPSHOT_NAME, tokens.snapshot_name);
    Ok(Some(SecretReference {
        namespace: resolve(
            SECRET_NAMESPACE_KEY,
            namespace,
            &for_namespace,
            is_dns_label,
            "DNS label",
        )?,
        name: resolve(
            SECRET_NAME_KEY,
            name,
            &for_name,
            is_dns_subdomain,
            "DNS subdomain name",
        )?,
    }))
}

fn resolve(
    key: &'static str,
    template: &str,
    tokens: &BTreeMap<&str, &str>,
    valid: fn(&str) -> bool,
    what: &'static str,
) -> Result<String, SecretError> {
    if template.is_empty() {
        return Err(SecretError::Empty { key });
    }
    let (resolved, unknown) = expand(template, tokens);
    if !unknown.is_empty() {
        return Err(SecretError::UnknownTokens {
            key,
            template: template.to_owned(),
            tokens: unknown.into_iter().collect(),
        });
    }
    if !valid(&resolved) {
        return Err(SecretError::InvalidName {
            key,
            template: template.to_owned(),
            resolved,
            what,
        });
    }
    Ok(resolved)
}

/// Replaces `${x}` and `$x` (letters, digits, underscore); gives the text and the unknown tokens.
fn expand(template: &str, tokens: &BTreeMap<&str, &str>) -> (String, BTreeSet<String>) {
    let mut resolved = String::new();
    let mut unknown = BTreeSet::new();
    let mut rest = template;
    while let Some(position) = rest.find('$') {
        resolved.push_str(&rest[..position]);
        let after = &rest[position + 1..];
        if after.is_empty() {
            resolved.push('$');
        }
        let (token, remaining) = token(after);
        match (token, tokens.get(token)) {
            (_, Some(value)) => resolved.push_str(value),
            ("", None) if after.is_empty() => {}
            (token, None) => {
                unknown.insert(token.to_owned());
            }
        }
        rest = remaining;
    }
    resolved.push_str(rest);
    (resolved, unknown)
}

/// The token at the start of the text after a dollar sign, and what follows it.
fn token(text: &str) -> (&str, &str) {
    if let Some(braced) = text.strip_prefix('{') {
        return match braced.find('}') {
            Some(end) => (&braced[..end], &braced[end + 1..]),
            None => (braced, ""),
        };
    }
    let end = text
        .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .unwrap_or(text.len());
    text.split_at(end)
}

fn is_dns_label(text: &str) -> bool {
    let inner =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|character| {
                    character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: Tokens<'static> = Tokens {
        content_name: "snapcontent-u",
        snapshot_namespace: "ns",
        snapshot_name: "s",
    };

    fn resolved(name: &str, namespace: &str) -> Result<Option<SecretReference>, SecretError> {
        let parameters = BTreeMap::from([
            (SECRET_NAME_KEY.to_owned(), name.to_owned()),
            (SECRET_NAMESPACE_KEY.to_owned(), namespace.to_owned()),
        ]);
        snapshotter_secret(&parameters, TOKENS)
    }

    fn secret(name: &str, namespace: &str) -> Result<Option<SecretReference>, SecretError> {
        Ok(Some(SecretReference {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        }))
    }

    #[test]
    fn snapshot_case_44_templates_are_resolved() {
        assert_eq!(snapshotter_secret(&BTreeMap::new(), TOKENS), Ok(None));
        assert_eq!(resolved("plain", "default"), secret("plain", "default"));
        assert_eq!(
            resolved("key-${volumesnapshot.name}", "${volumesnapshot.namespace}"),
            secret("key-s", "ns")
        );
        assert_eq!(
            resolved(
                "${volumesnapshotcontent.name}.x",
                "a-${volumesnapshotcontent.name}"
            ),
            secret("snapcontent-u.x", "a-snapcontent-u")
        );
    }

    #[test]
    fn snapshot_case_43_wrong_templates_are_named() {
        let only_name = BTreeMap::from([(SECRET_NAME_KEY.to_owned(), "x".to_owned())]);
        assert_eq!(
            snapshotter_secret(&only_name, TOKENS).unwrap_err().to_string(),
            "either name and namespace for Snapshotter secrets specified, Both must be specified"
        );
        for (name, namespace, text) in [
            (
                "x",
                "${volumesnapshot.name}",
                "invalid tokens: [\"volumesnapshot.name\"]",
            ),
            ("${foo}${bar}", "ns", "invalid tokens: [\"bar\", \"foo\"]"),
            ("$foo.name", "ns", "invalid tokens: [\"foo\"]"),
            ("${}", "ns", "invalid tokens: [\"\"]"),
            ("${open", "ns", "invalid tokens: [\"open\"]"),
            ("$$", "ns", "invalid tokens"),
            ("a$", "ns", "no valid DNS subdomain name"),
            ("", "ns", "must not be empty"),
            ("x", "", "must not be empty"),
            ("x", "a.b", "no valid DNS label"),
            ("Upper", "ns", "no valid DNS subdomain name"),
        ] {
            let error = resolved(name, namespace).unwrap_err().to_string();
            assert!(error.contains(text), "{name} {namespace}: {error}");
        }
    }
}
