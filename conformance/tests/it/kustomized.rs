//! What kubectl makes of a kustomization, without a cluster.

use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::Programs;
use serde_json::Value;
use tempfile::TempDir;

use crate::pods::documents;
use crate::shared::{not_run, repository};

/// kubectl, and a place for overlays in the repository.
pub struct Kustomize {
    kubectl: PathBuf,
    place: TempDir,
}

/// A folder for kustomize, which knows no absolute paths. What is built may lie elsewhere (`CARGO_TARGET_DIR`).
pub fn in_the_repository() -> TempDir {
    let target = repository().join("target");
    std::fs::create_dir_all(&target).unwrap();
    tempfile::tempdir_in(target).unwrap()
}

impl Kustomize {
    /// None, and a line that says so, where kubectl was not built.
    pub fn find(layer: &str) -> Option<Self> {
        let programs = match Programs::find() {
            Ok(programs) => programs,
            Err(error) => {
                not_run(layer, &error);
                return None;
            }
        };
        Some(Self {
            kubectl: programs.path("kubectl"),
            place: in_the_repository(),
        })
    }

    /// A folder with a kustomization, beside others of this place; `deploy` is `../../../deploy`.
    pub fn folder(&self, name: &str, text: &str) -> PathBuf {
        let folder = self.place.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("kustomization.yaml"), text).unwrap();
        folder
    }

    /// The objects of a folder.
    pub fn built(&self, folder: &Path) -> Vec<Value> {
        let built = Command::new(&self.kubectl)
            .arg("kustomize")
            .arg(folder)
            .output()
            .unwrap();
        assert!(built.status.success(), "{built:?}");
        documents(&String::from_utf8(built.stdout).unwrap())
    }
}
