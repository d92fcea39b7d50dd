//! Who may do what: everybody everything, except what a test denies.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::resource::GroupResource;

/// Something a user may not do. `*` in a field stands for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The verb, `patch` for example.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// Plural name.
    pub resource: String,
    /// `status` for example; empty for the object itself.
    pub subresource: String,
}

impl Denial {
    /// `verb` on the objects of a type, not on their subresources.
    #[must_use]
    pub fn of(verb: &str, resource: GroupResource<'_>) -> Self {
        Self {
            verb: verb.to_owned(),
            group: resource.group.to_owned(),
            resource: resource.plural.to_owned(),
            subresource: String::new(),
        }
    }

    fn covers(&self, asked: &Asked<'_>) -> bool {
        let equal = |rule: &str, asked: &str| rule == "*" || asked == rule;
        equal(&self.verb, asked.verb)
            && equal(&self.group, asked.group)
            && equal(&self.resource, asked.resource)
            && equal(&self.subresource, asked.subresource)
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
}

/// Denials by user.
#[derive(Debug, Default)]
pub(crate) struct Denials {
    by_user: BTreeMap<String, Vec<Denial>>,
}

impl Denials {
    pub fn add(&mut self, user: &str, denial: Denial) {
        self.by_user.entry(user.to_owned()).or_default().push(denial);
    }

    pub fn clear(&mut self, user: &str) {
        self.by_user.remove(user);
    }

    pub fn allows(&self, user: &str, asked: &Asked<'_>) -> bool {
        let denied = |denials: &Vec<Denial>| denials.iter().any(|denial| denial.covers(asked));
        self.by_user.get(user).is_none_or(|denials| !denied(denials))
    }

    /// Answers a SelfSubjectAccessReview: sets its status.
    pub fn review(&self, user: &str, review: &mut Value) {
        let attributes = &review["spec"]["resourceAttributes"];
        let field = |name: &str| attributes[name].as_str().unwrap_or_default();
        let asked = Asked {
            verb: field("verb"),
            group: field("group"),
            resource: field("resource"),
            subresource: field("subresource"),
        };
        let allowed = attributes.is_null() || self.allows(user, &asked);
        review["status"] = json!({"allowed": allowed});
    }
}
