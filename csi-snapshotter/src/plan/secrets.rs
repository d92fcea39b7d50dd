//! Which Secret a call needs. Source: snapshot.md 3.6.

use std::collections::BTreeMap;

use crds::names::{DELETION_SECRET_NAME_ANNOTATION, DELETION_SECRET_NAMESPACE_ANNOTATION, parameters};

use crate::observe::{ClassLookup, ContentExt as _, Observed, SecretAnswer, SecretRef};

/// What a call needs before it can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// No Secret.
    Nothing,
    /// The one that this run has read.
    Ready,
    /// This one, not read yet.
    Read(SecretRef),
    /// One that does not exist.
    Missing(String),
    /// One that cannot be named or read.
    Invalid(String),
}

/// For CreateSnapshot and DeleteSnapshot, and ListSnapshots of group members: as the annotations say. One
/// annotation without the other means none.
#[must_use]
pub fn of_annotations(observed: &Observed<'_>) -> Need {
    let content = observed.content;
    let name = content.annotation(DELETION_SECRET_NAME_ANNOTATION);
    let namespace = content.annotation(DELETION_SECRET_NAMESPACE_ANNOTATION);
    match (name, namespace) {
        (Some(""), Some(_)) | (Some(_), Some("")) => Need::Invalid(format!(
            "cannot retrieve secrets for snapshot content {}: secret name or namespace not specified in its \
             annotations",
            content.name()
        )),
        (Some(name), Some(namespace)) => read(
            observed,
            SecretRef {
                namespace: namespace.into(),
                name: name.into(),
            },
        ),
        _ => Need::Nothing,
    }
}

/// For ListSnapshots of pre-provisioned contents: as the keys of the class say.
#[must_use]
pub fn of_list(observed: &Observed<'_>) -> Need {
    let ClassLookup::Found(class) = observed.class else {
        return Need::Nothing;
    };
    let name = class.parameters.get(parameters::LIST_SECRET_NAME);
    let namespace = class.parameters.get(parameters::LIST_SECRET_NAMESPACE);
    let (name, namespace) = match (name, namespace) {
        (None, None) => return Need::Nothing,
        (Some(name), Some(namespace)) if !name.is_empty() && !namespace.is_empty() => (name, namespace),
        _ => {
            let text = "either name and namespace for Snapshotter secrets specified, Both must be specified";
            return Need::Invalid(text.to_string());
        }
    };
    match resolve(observed, name, namespace) {
        Ok(secret) => read(observed, secret),
        Err(text) => Need::Invalid(text),
    }
}

fn read(observed: &Observed<'_>, secret: SecretRef) -> Need {
    match observed
        .secret
        .filter(|read| read.secret == secret)
        .map(|read| &read.answer)
    {
        None => Need::Read(secret),
        Some(SecretAnswer::Found(_)) => Need::Ready,
        Some(SecretAnswer::NotFound) => Need::Missing(format!(
            "error getting secret {} in namespace {}: it does not exist",
            secret.name, secret.namespace
        )),
        Some(SecretAnswer::Refused(text)) => Need::Invalid(format!(
            "error getting secret {} in namespace {}: {text}",
            secret.name, secret.namespace
        )),
    }
}

fn resolve(observed: &Observed<'_>, name: &str, namespace: &str) -> Result<SecretRef, String> {
    let content = observed.content;
    let snapshot = &content.spec.volume_snapshot_ref;
    let mut tokens = BTreeMap::from([("volumesnapshotcontent.name", content.name())]);
    if let Some(namespace) = &snapshot.namespace {
        tokens.insert("volumesnapshot.namespace", namespace);
    }
    let namespace = expand(namespace, &tokens)?;
    if let Some(name) = &snapshot.name {
        // A user chooses it, so it must not lead into another namespace (snapshot.md 11).
        tokens.insert("volumesnapshot.name", name);
    }
    let name = expand(name, &tokens)?;
    if !is_label(&namespace) {
        return Err(format!("{namespace:?} is no valid namespace of a secret"));
    }
    if !(name.len() <= 253 && name.split('.').all(is_label)) {
        return Err(format!("{name:?} is no valid name of a secret"));
    }
    Ok(SecretRef { namespace, name })
}

/// Replaces `${token}` and `$token`.
fn expand(template: &str, tokens: &BTreeMap<&str, &str>) -> Result<String, String> {
    let (mut out, mut unknown) = (String::new(), Vec::new());
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (token, left) = match after.strip_prefix('{') {
            Some(braced) => match braced.split_once('}') {
                Some(found) => found,
                None => return Err(format!("{template:?} has an opening brace without its end")),
            },
            None => {
                let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
                after.split_at(after.find(|character| !is_name(character)).unwrap_or(after.len()))
            }
        };
        match tokens.get(token) {
            Some(value) => out.push_str(value),
            None => unknown.push(token.to_string()),
        }
        rest = left;
    }
    out.push_str(rest);
    if unknown.is_empty() {
        Ok(out)
    } else {
        Err(format!("invalid tokens: {unknown:?}"))
    }
}

/// A DNS label: lower-case letters, digits and inner dashes, 1 to 63 of them.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced_or_named() {
        let tokens = BTreeMap::from([("a", "one"), ("b.c", "two")]);
        for (template, expected) in [
            ("plain", Ok("plain")),
            ("x-${a}-${b.c}", Ok("x-one-two")),
            ("$a-$a", Ok("one-one")),
            ("${foo}-$bar", Err("invalid tokens: [\"foo\", \"bar\"]")),
            ("${a", Err("\"${a\" has an opening brace without its end")),
        ] {
            let found = expand(template, &tokens);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{template}");
        }
    }

    #[test]
    fn labels_are_checked() {
        assert!(is_label("a-1"));
        for bad in ["", "-a", "a-", "A", "a.b", &"a".repeat(64)] {
            assert!(!is_label(bad), "{bad}");
        }
    }
}
