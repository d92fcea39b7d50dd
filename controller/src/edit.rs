//! Changes of finalizers and annotations, of objects that upstream's roles let us write by PUT only: PATCH where our role grants
//! it, else GET and PUT (decision 7).

use kube::Client;
use runtime::access::{Permission, may};
use runtime::{ApiError, Cached, ObjectKey, Writer};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::objects::Known;
use crate::patch::{add, add_finalizers, remove, remove_finalizers, same_object, test};

/// A change of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Adds a finalizer to those that were seen.
    AddFinalizer(&'a str),
    /// Takes a finalizer away.
    RemoveFinalizer(&'a str),
    /// Adds an annotation, unless the object is another one than was seen: of many that try so one succeeds.
    AddAnnotation {
        /// Its key.
        key: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// Takes an annotation away while it has this value.
    RemoveAnnotation {
        /// Its key.
        key: &'a str,
        /// Its value.
        value: &'a str,
    },
}

/// Writes such changes of one kind.
pub struct Editor<K> {
    writer: Writer<K>,
    client: Client,
    random: base::Random,
    permission: Permission,
    may_patch: OnceCell<bool>,
}

impl<K: Cached> Editor<K> {
    /// Asks before the first change whether this is granted.
    #[must_use]
    pub fn new(client: &Client, manager: &'static str, random: base::Random, permission: Permission) -> Self {
        Self {
            writer: Writer::new(client, manager),
            client: client.clone(),
            random,
            permission,
            may_patch: OnceCell::new(),
        }
    }

    /// Sends the change of the object that was seen with these finalizers; answers it as it is now.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn edit(&self, known: &Known, seen: Option<&[String]>, edit: Edit<'_>) -> Result<K, ApiError> {
        let ask = || may(&self.client, &self.random, self.permission);
        if !*self.may_patch.get_or_init(ask).await {
            return self.put(known, edit).await;
        }
        let mut operations = vec![same_object(Some(&known.uid))];
        match edit {
            Edit::AddFinalizer(name) => operations.extend(add_finalizers(seen, &[name])),
            Edit::RemoveFinalizer(name) => {
                operations.extend(remove_finalizers(seen.unwrap_or_default(), &[name]));
            }
            Edit::AddAnnotation { key, value } => operations.extend([
                test(&["metadata", "resourceVersion"], known.version.as_str()),
                add(&["metadata", "annotations", key], value),
            ]),
            Edit::RemoveAnnotation { key, value } => {
                let path = ["metadata", "annotations", key];
                operations.extend([test(&path, value), remove(&path)]);
            }
        }
        self.writer
            .patch_json(&known.key, json_patch::Patch(operations))
            .await
    }

    async fn put(&self, known: &Known, edit: Edit<'_>) -> Result<K, ApiError> {
        let key: &ObjectKey = &known.key;
        let mut object = self.writer.get_raw(key).await?;
        // A stale list of field managers must not be sent back; without one the API server keeps its own.
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        // Another object of that name is refused by its UID.
        object["metadata"]["uid"] = json!(known.uid);
        if let Edit::AddAnnotation { .. } = edit {
            object["metadata"]["resourceVersion"] = json!(known.version);
        }
        apply(&mut object, edit);
        self.writer.replace_raw(key, &object).await
    }
}

fn apply(object: &mut Value, edit: Edit<'_>) {
    let metadata = &mut object["metadata"];
    match edit {
        Edit::AddFinalizer(name) => {
            let mut finalizers = metadata["finalizers"].as_array().cloned().unwrap_or_default();
            if !finalizers.contains(&json!(name)) {
                finalizers.push(json!(name));
            }
            metadata["finalizers"] = Value::Array(finalizers);
        }
        Edit::RemoveFinalizer(name) => {
            if let Some(finalizers) = metadata["finalizers"].as_array_mut() {
                finalizers.retain(|other| other != name);
            }
        }
        Edit::AddAnnotation { key, value } => metadata["annotations"][key] = json!(value),
        Edit::RemoveAnnotation { key, value } => {
            let annotations = metadata["annotations"].as_object_mut();
            if let Some(annotations) = annotations.filter(|all| all.get(key) == Some(&json!(value))) {
                annotations.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_changes() {
        let mut object = json!({"metadata": {"finalizers": ["theirs"], "annotations": {"a": "1", "b": "2"}}});
        apply(&mut object, Edit::AddFinalizer("ours"));
        apply(&mut object, Edit::AddFinalizer("ours"));
        assert_eq!(object["metadata"]["finalizers"], json!(["theirs", "ours"]));
        apply(&mut object, Edit::RemoveFinalizer("ours"));
        apply(&mut object, Edit::RemoveAnnotation { key: "a", value: "1" });
        apply(&mut object, Edit::RemoveAnnotation { key: "b", value: "1" });
        apply(&mut object, Edit::AddAnnotation { key: "c", value: "3" });
        assert_eq!(
            object["metadata"],
            json!({"finalizers": ["theirs"], "annotations": {"b": "2", "c": "3"}})
        );
        let mut bare = json!({"metadata": {}});
        apply(&mut bare, Edit::RemoveFinalizer("ours"));
        apply(&mut bare, Edit::AddFinalizer("ours"));
        assert_eq!(bare["metadata"]["finalizers"], json!(["ours"]));
    }
}
