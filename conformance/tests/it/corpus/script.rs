//! The corpus as it is written down: scenes of requests.

use serde::Deserialize;
use serde_json::Value;

/// Requests that follow each other in a namespace of their own.
#[derive(Debug, Deserialize)]
pub struct Scene {
    pub scene: String,
    pub steps: Vec<Step>,
}

/// One request. In `ask` and in the texts of `body`, `NS` stands for the namespace and `{name}` for a value that was
/// kept.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// Unique within the scene.
    pub name: String,
    /// Method and path, as `GET /api/v1/namespaces/NS/pods`. The method `WATCH` reads events.
    pub ask: String,
    /// JSON body.
    #[serde(default)]
    pub body: Option<Value>,
    /// A body that is no JSON.
    #[serde(default)]
    pub text: Option<String>,
    /// Form of a patch: `merge`, `json`, `strategic`, `apply`; else a content type.
    #[serde(default, rename = "as")]
    pub form: Option<String>,
    /// The Accept header.
    #[serde(default)]
    pub accept: Option<String>,
    /// Values to keep: name and JSON pointer into the answer.
    #[serde(default)]
    pub keep: std::collections::BTreeMap<String, String>,
    /// How many events a watch is to give.
    #[serde(default)]
    pub events: usize,
}

impl Step {
    pub fn new(name: String, ask: String, body: Option<Value>) -> Self {
        Self {
            name,
            ask,
            body,
            text: None,
            form: None,
            accept: None,
            keep: std::collections::BTreeMap::new(),
            events: 0,
        }
    }

    pub fn form(self, form: &str) -> Self {
        Self {
            form: Some(form.to_owned()),
            ..self
        }
    }

    /// The content type of the body.
    pub fn content_type(&self) -> &str {
        match self.form.as_deref() {
            None => "application/json",
            Some("merge") => "application/merge-patch+json",
            Some("json") => "application/json-patch+json",
            Some("strategic") => "application/strategic-merge-patch+json",
            Some("apply") => "application/apply-patch+yaml",
            Some(other) => other,
        }
    }
}

/// The scenes that are written by hand.
pub fn scenes() -> Vec<Scene> {
    let files = [
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/core.yaml")),
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/storage.yaml")),
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/custom.yaml")),
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/status.yaml")),
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/claims.yaml")),
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/lists.yaml")),
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/types.yaml")),
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/objects.yaml")),
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/quotas.yaml")),
    ];
    let scenes = files.map(|file| serde_saphyr::from_str::<Vec<Scene>>(file).expect("the corpus is YAML"));
    scenes.into_iter().flatten().collect()
}
