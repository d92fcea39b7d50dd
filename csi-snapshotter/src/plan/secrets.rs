//! Which Secret a call needs. Source: snapshot.md 3.6.

use controller::SecretAnswer;
use controller::template::{SecretTemplate, Tokens, can_be_named};
use runtime::objects::SecretName;

use crate::observe::{ClassLookup, Observed};

/// What a call needs before it can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// No Secret.
    Nothing,
    /// The one that this run has read.
    Ready,
    /// This one, not read yet.
    Read(SecretName),
    /// One that does not exist, or that none can be.
    Missing(String),
    /// One that the class does not name rightly, or that cannot be read.
    Invalid(String),
}

/// For the calls that make and delete, and ListSnapshots of group members: as the annotations say. One
/// annotation without the other means none. Anybody may have written them, so they are checked as names first.
#[must_use]
pub fn of_annotations(observed: &Observed<'_>) -> Need {
    let content = observed.content;
    let words = content.words();
    let name = content.annotation(words.secret_name);
    let namespace = content.annotation(words.secret_namespace);
    let (Some(name), Some(namespace)) = (name, namespace) else {
        return Need::Nothing;
    };
    if name.is_empty() || namespace.is_empty() {
        return Need::Missing(format!(
            "cannot retrieve secrets for {} content {}: secret name or namespace not specified in its annotations",
            words.noun,
            content.name()
        ));
    }
    if !can_be_named(namespace, name) {
        return Need::Missing(format!(
            "the annotations of {} content {} name secret {name:?} in namespace {namespace:?}, which no secret can \
             have as its name",
            words.noun,
            content.name()
        ));
    }
    let (namespace, name) = (namespace.into(), name.into());
    read(observed, SecretName { namespace, name })
}

/// For looking at what existed before: as the keys of the class say.
#[must_use]
pub fn of_look(observed: &Observed<'_>) -> Need {
    let ClassLookup::Found(class) = observed.class else {
        return Need::Nothing;
    };
    let reference = observed.content.reference();
    let words = observed.content.words();
    let [content_token, namespace_token, name_token] = words.tokens;
    let mut for_namespace = Tokens::from([(content_token, observed.content.name())]);
    for_namespace.extend(reference.namespace.as_deref().map(|it| (namespace_token, it)));
    let mut for_name = for_namespace.clone();
    for_name.extend(reference.name.as_deref().map(|it| (name_token, it)));
    let (name_key, namespace_key) = words.look_secret;
    let template = SecretTemplate {
        name_key,
        namespace_key,
        for_name: &for_name,
        for_namespace: &for_namespace,
    };
    match template.resolve(class.parameters()) {
        Ok(None) => Need::Nothing,
        Ok(Some(secret)) => read(observed, secret),
        Err(error) => Need::Invalid(error.to_string()),
    }
}

fn read(observed: &Observed<'_>, secret: SecretName) -> Need {
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
