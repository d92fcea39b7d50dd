//! The chart, before Helm, kubectl and the real API server.

mod elected;
mod emptied;
mod examples;
mod gitops;
mod installed;
mod listens;
mod modifier;
mod moved;
mod operator;
mod placed;
mod refused;
mod rendered;
mod scraped;
mod site;
mod text;
mod third;
mod told;
mod values;

use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::User;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pods::{containers, documents, named, texts};
use crate::shared::{not_run, repository};

const LAYER: &str = "10 chart";
/// The name under which upstream's chart is installed.
const RELEASE: &str = "aws-ebs-csi-driver";
const CONTROLLER: &str = "ebs-csi-controller";
const NODE: &str = "ebs-csi-node";

/// Helm, with a home of its own.
struct Helm {
    program: PathBuf,
    home: TempDir,
}

impl Helm {
    /// Helm 4; none, and a line that says so, where it was not built.
    fn find() -> Option<Self> {
        Self::of(conformance::helm())
    }

    /// Helm 3.
    fn third() -> Option<Self> {
        Self::of(conformance::helm_3())
    }

    fn of(program: Result<PathBuf, conformance::Error>) -> Option<Self> {
        match program {
            Ok(program) => Some(Self {
                program,
                home: tempfile::tempdir().unwrap(),
            }),
            Err(error) => {
                not_run(LAYER, &error);
                None
            }
        }
    }

    /// What it prints, or what it says where it fails.
    fn run(&self, kubeconfig: &Path, args: &[&str]) -> Result<String, String> {
        let ended = Command::new(&self.program)
            .args(args)
            .env("HOME", self.home.path())
            .env("KUBECONFIG", kubeconfig)
            .current_dir(repository())
            .output()
            .unwrap();
        if ended.status.success() {
            return Ok(String::from_utf8(ended.stdout).unwrap());
        }
        Err(String::from_utf8_lossy(&ended.stderr).into_owned())
    }

    /// What it complains of in the chart with these values.
    fn lint(&self, values: &Value) -> Result<String, String> {
        let values = self.values(values);
        let args = ["lint", &chart(), "--strict", "--values", &values];
        self.run("/nonexistent".as_ref(), &args)
    }

    /// As a user of a cluster.
    fn with(&self, user: &User, args: &[&str]) -> Result<String, String> {
        self.run(&user.kubeconfig, args)
    }

    /// A file of values.
    fn values(&self, values: &Value) -> String {
        let path = self.home.path().join("values.json");
        std::fs::write(&path, values.to_string()).unwrap();
        path.display().to_string()
    }

    /// The text of the objects that it makes of these values, without a cluster.
    fn template(&self, release: &str, values: &Value, more: &[&str]) -> Result<String, String> {
        let values = self.values(values);
        let args = [
            "template",
            release,
            &chart(),
            "--namespace=kube-system",
            "--values",
            &values,
        ];
        self.run(Path::new("/nonexistent"), &[&args[..], more].concat())
    }

    /// The same of files of values in the repository, later ones over earlier ones.
    fn template_from(&self, files: &[String], more: &[&str]) -> Result<String, String> {
        let files: Vec<_> = files.iter().map(|file| format!("--values={file}")).collect();
        let files: Vec<_> = files.iter().map(String::as_str).collect();
        let args = ["template", RELEASE, &chart(), "--namespace=kube-system"];
        self.run(Path::new("/nonexistent"), &[&args[..], &files, more].concat())
    }

    fn rendered(&self, values: &Value) -> Vec<Value> {
        self.rendered_for(values, &[])
    }

    fn rendered_for(&self, values: &Value, more: &[&str]) -> Vec<Value> {
        documents(&self.template(RELEASE, values, more).unwrap())
    }
}

fn chart() -> String {
    repository().join("charts/slackwater-ebs").display().to_string()
}

/// Values for many tests: the defaults, and every value set, in both shapes.
fn all_values() -> [Value; 4] {
    [
        json!({}),
        json!({ "slackwater": { "mode": "allInOne" } }),
        values::everything("dropin"),
        values::everything("allInOne"),
    ]
}

/// The arguments of a container.
fn args<'a>(objects: &'a [Value], kind: &str, name: &str, container: &str) -> Vec<&'a str> {
    let object = named(objects, kind, name).unwrap_or_else(|| panic!("no {kind} {name}"));
    let mut containers = containers(object).iter();
    let container = containers.find(|one| one["name"] == container);
    texts(&container.unwrap()["args"])
}
