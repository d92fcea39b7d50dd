//! Names of Secrets in the parameters of a class, with tokens such as `${volumesnapshot.name}`. Source: snapshot.md 3.6.

use std::collections::{BTreeMap, BTreeSet};

use runtime::objects::SecretName;

/// What the tokens of a template stand for, by name.
pub type Tokens<'a> = BTreeMap<&'a str, &'a str>;

/// The two parameters that name a Secret, and what their templates may use.
#[derive(Clone, Copy, Debug)]
pub struct SecretTemplate<'a> {
    /// Parameter with the name.
    pub name_key: &'static str,
    /// Parameter with the namespace.
    pub namespace_key: &'static str,
    /// For the name.
    pub for_name: &'a Tokens<'a>,
    /// For the namespace. What a user chooses must not be in it: whoever may create an object would otherwise choose
    /// the namespace that a Secret is read from.
    pub for_namespace: &'a Tokens<'a>,
}

/// Why no Secret can be told from the parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// One of the two parameters is missing.
    #[error("either name and namespace for Snapshotter secrets specified, Both must be specified")]
    OnlyOne,
    /// A parameter is empty.
    #[error("class parameter {key} must not be empty")]
    Empty {
        /// The parameter.
        key: &'static str,
    },
    /// A brace is not closed.
    #[error("class parameter {key} {template:?} has an opening brace without its end")]
    OpenBrace {
        /// The parameter.
        key: &'static str,
        /// Its value.
        template: String,
    },
    /// A token has no meaning here.
    #[error("class parameter {key} {template:?}: invalid tokens: {tokens:?}")]
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

impl SecretTemplate<'_> {
    /// The Secret that the parameters name; none when they name none.
    ///
    /// # Errors
    /// When the parameters are incomplete, use an unknown token or give an invalid name.
    pub fn resolve(
        &self,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<SecretName>, TemplateError> {
        let (name, namespace) = match (parameters.get(self.name_key), parameters.get(self.namespace_key)) {
            (None, None) => return Ok(None),
            (Some(name), Some(namespace)) => (name, namespace),
            (Some(_), None) | (None, Some(_)) => return Err(TemplateError::OnlyOne),
        };
        let namespace = expand(self.namespace_key, namespace, self.for_namespace)?;
        check(
            self.namespace_key,
            &namespace,
            is_dns_label(&namespace.resolved),
            "DNS label",
        )?;
        let name = expand(self.name_key, name, self.for_name)?;
        check(
            self.name_key,
            &name,
            is_dns_subdomain(&name.resolved),
            "DNS subdomain name",
        )?;
        Ok(Some(SecretName {
            namespace: namespace.resolved,
            name: name.resolved,
        }))
    }
}

struct Expanded<'a> {
    template: &'a str,
    resolved: String,
}

fn check(
    key: &'static str,
    expanded: &Expanded<'_>,
    is_valid: bool,
    what: &'static str,
) -> Result<(), TemplateError> {
    if is_valid {
        return Ok(());
    }
    Err(TemplateError::InvalidName {
        key,
        template: expanded.template.to_owned(),
        resolved: expanded.resolved.clone(),
        what,
    })
}

/// Replaces `${token}` and `$token` (letters, digits, underscore). A dollar sign that nothing follows stays.
fn expand<'a>(
    key: &'static str,
    template: &'a str,
    tokens: &Tokens<'_>,
) -> Result<Expanded<'a>, TemplateError> {
    if template.is_empty() {
        return Err(TemplateError::Empty { key });
    }
    let (mut resolved, mut unknown) = (String::new(), BTreeSet::new());
    let mut rest = template;
    while let Some(position) = rest.find('$') {
        resolved.push_str(&rest[..position]);
        let after = &rest[position + 1..];
        let Some((token, behind)) = token(after) else {
            return Err(TemplateError::OpenBrace {
                key,
                template: template.to_owned(),
            });
        };
        match tokens.get(token) {
            Some(value) => resolved.push_str(value),
            None if after.is_empty() => resolved.push('$'),
            None => {
                unknown.insert(token.to_owned());
            }
        }
        rest = behind;
    }
    resolved.push_str(rest);
    if unknown.is_empty() {
        return Ok(Expanded { template, resolved });
    }
    Err(TemplateError::UnknownTokens {
        key,
        template: template.to_owned(),
        tokens: unknown.into_iter().collect(),
    })
}

/// The token at the start of the text behind a dollar sign, and what follows it; none for a brace without its end.
fn token(text: &str) -> Option<(&str, &str)> {
    if let Some(braced) = text.strip_prefix('{') {
        return braced.split_once('}');
    }
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    Some(text.split_at(text.find(|character| !is_name(character)).unwrap_or(text.len())))
}

/// A DNS label (RFC 1123): lower-case letters, digits and inner dashes, 1 to 63 of them.
fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_dns_part(text)
}

/// A DNS subdomain name (RFC 1123): parts as labels have them, joined by dots, up to 253 characters.
fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_part)
}

/// Whether an object can have this namespace and name. What can be no name must not be part of a request's path.
#[must_use]
pub fn can_be_named(namespace: &str, name: &str) -> bool {
    is_dns_label(namespace) && is_dns_subdomain(name)
}

fn is_dns_part(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(name: Option<&str>, namespace: Option<&str>) -> Result<Option<SecretName>, TemplateError> {
        let for_namespace = Tokens::from([
            ("volumesnapshotcontent.name", "snapcontent-u"),
            ("volumesnapshot.namespace", "ns"),
        ]);
        let mut for_name = for_namespace.clone();
        for_name.insert("volumesnapshot.name", "s");
        let template = SecretTemplate {
            name_key: "secret-name",
            namespace_key: "secret-namespace",
            for_name: &for_name,
            for_namespace: &for_namespace,
        };
        let given = [("secret-name", name), ("secret-namespace", namespace)];
        let parameters = given
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
            .collect();
        template.resolve(&parameters)
    }

    #[test]
    fn snapshot_case_44_templates_are_resolved() {
        assert_eq!(resolved(None, None), Ok(None));
        for (name, namespace, expected) in [
            ("plain", "default", ("plain", "default")),
            (
                "key-${volumesnapshot.name}",
                "${volumesnapshot.namespace}",
                ("key-s", "ns"),
            ),
            (
                "${volumesnapshotcontent.name}.x",
                "a-${volumesnapshotcontent.name}",
                ("snapcontent-u.x", "a-snapcontent-u"),
            ),
        ] {
            let (name_expected, namespace_expected) = expected;
            let secret = SecretName {
                name: name_expected.to_owned(),
                namespace: namespace_expected.to_owned(),
            };
            assert_eq!(resolved(Some(name), Some(namespace)), Ok(Some(secret)));
        }
    }

    #[test]
    fn snapshot_case_43_wrong_templates_are_named() {
        for (name, namespace) in [(Some("x"), None), (None, Some("x"))] {
            assert_eq!(
                resolved(name, namespace).unwrap_err().to_string(),
                "either name and namespace for Snapshotter secrets specified, Both must be specified"
            );
        }
        for (name, namespace, text) in [
            (
                "x",
                "${volumesnapshot.name}",
                "invalid tokens: [\"volumesnapshot.name\"]",
            ),
            ("${foo}${bar}", "ns", "invalid tokens: [\"bar\", \"foo\"]"),
            ("$foo.name", "ns", "invalid tokens: [\"foo\"]"),
            ("${}", "ns", "invalid tokens: [\"\"]"),
            ("$$", "ns", "invalid tokens: [\"\"]"),
            ("${open", "ns", "has an opening brace without its end"),
            (
                "a$",
                "ns",
                "resolved to \"a$\", which is no valid DNS subdomain name",
            ),
            ("", "ns", "must not be empty"),
            ("x", "", "must not be empty"),
            ("x", "a.b", "no valid DNS label"),
            ("Upper", "ns", "no valid DNS subdomain name"),
        ] {
            let error = resolved(Some(name), Some(namespace)).unwrap_err().to_string();
            assert!(error.contains(text), "{name} {namespace}: {error}");
        }
    }

    #[test]
    fn names_are_checked() {
        assert!(is_dns_label("a-1") && is_dns_subdomain("a.b-1"));
        for bad in ["", "-a", "a-", "A", "a.b", &"a".repeat(64)] {
            assert!(!is_dns_label(bad), "{bad}");
        }
        for bad in ["", "a..b", ".a", "a/b", &"a.".repeat(127)] {
            assert!(!is_dns_subdomain(bad), "{bad}");
        }
    }
}
