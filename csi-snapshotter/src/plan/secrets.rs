//! Which Secret a call needs. Source: snapshot.md 3.6.

use controller::SecretAnswer;
use controller::template::{SecretTemplate, Tokens, can_be_named};
use crds::names::{DELETION_SECRET_NAME_ANNOTATION, DELETION_SECRET_NAMESPACE_ANNOTATION, parameters};
use runtime::objects::SecretName;

use crate::observe::{ClassLookup, ContentExt as _, Observed};

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

/// For CreateSnapshot and DeleteSnapshot, and ListSnapshots of group members: as the annotations say. One
/// annotation without the other means none. Anybody may have written them, so they are checked as names first.
#[must_use]
pub fn of_annotations(observed: &Observed<'_>) -> Need {
    let content = observed.content;
    let name = content.annotation(DELETION_SECRET_NAME_ANNOTATION);
    let namespace = content.annotation(DELETION_SECRET_NAMESPACE_ANNOTATION);
    let (Some(name), Some(namespace)) = (name, namespace) else {
        return Need::Nothing;
    };
    if name.is_empty() || namespace.is_empty() {
        return Need::Missing(format!(
            "cannot retrieve secrets for snapshot content {}: secret name or namespace not specified in its \
             annotations",
            content.name()
        ));
    }
    if !can_be_named(namespace, name) {
        return Need::Missing(format!(
            "the annotations of snapshot content {} name secret {name:?} in namespace {namespace:?}, which no secret can \
             have as its name",
            content.name()
        ));
    }
    let (namespace, name) = (namespace.into(), name.into());
    read(observed, SecretName { namespace, name })
}

/// For ListSnapshots of pre-provisioned contents: as the keys of the class say.
#[must_use]
pub fn of_list(observed: &Observed<'_>) -> Need {
    let ClassLookup::Found(class) = observed.class else {
        return Need::Nothing;
    };
    let reference = &observed.content.spec.volume_snapshot_ref;
    let mut for_namespace = Tokens::from([("volumesnapshotcontent.name", observed.content.name())]);
    for_namespace.extend(
        reference
            .namespace
            .as_deref()
            .map(|it| ("volumesnapshot.namespace", it)),
    );
    let mut for_name = for_namespace.clone();
    for_name.extend(reference.name.as_deref().map(|it| ("volumesnapshot.name", it)));
    let template = SecretTemplate {
        name_key: parameters::LIST_SECRET_NAME,
        namespace_key: parameters::LIST_SECRET_NAMESPACE,
        for_name: &for_name,
        for_namespace: &for_namespace,
    };
    match template.resolve(&class.parameters) {
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
