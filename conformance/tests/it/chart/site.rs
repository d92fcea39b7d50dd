//! Both Helms before the real API server.

use conformance::{ControlPlane, foreign_definitions};
use serde_json::Value;

use super::{Helm, LAYER, chart};
use crate::shared::{Guard, control_plane, not_run};
use crate::stored;

/// Both Helms and a cluster.
pub(super) struct Site {
    pub helm: Helm,
    pub third: Helm,
    pub plane: Guard,
}

impl Site {
    pub async fn find() -> Option<Self> {
        let (helm, third) = (Helm::find()?, Helm::third()?);
        let plane = control_plane(LAYER).await?;
        Some(Self { helm, third, plane })
    }

    /// As an administrator.
    pub fn helm(&self, args: &[&str]) -> Result<String, String> {
        self.by(&self.helm, args)
    }

    /// The same by one of them.
    pub fn by(&self, helm: &Helm, args: &[&str]) -> Result<String, String> {
        let args = [args, &["--namespace=kube-system"]].concat();
        helm.with(self.plane.admin(), &args)
    }

    /// A release of ours beside the one of upstream's name.
    pub fn install(&self, more: &[&str]) -> Result<String, String> {
        self.helm(&[&["install", "mine", &chart()], more].concat())
    }

    pub fn object(&self, kind: &str, name: &str) -> Value {
        let args = ["get", kind, name, "-n", "kube-system", "-o", "json"];
        serde_json::from_str(&self.plane.kubectl().ok(&args).unwrap()).unwrap()
    }

    pub fn assert_gone(&self, kind: &str, name: &str) {
        let args = ["get", kind, name, "-n", "kube-system"];
        let answer = self.plane.kubectl().run(&args).unwrap();
        assert!(answer.stderr.contains("not found"), "{answer:?}");
    }

    pub fn create(&self, object: &Value) {
        let args = ["create", "-f", "-"];
        self.plane.kubectl().ok_with(&args, &object.to_string()).unwrap();
    }

    pub fn delete(&self, kind: &str, name: &str) {
        let args = ["delete", kind, name, "-n", "kube-system"];
        self.plane.kubectl().ok(&args).unwrap();
    }
}

/// Definitions of another project, served until they are removed.
pub(super) struct Foreign {
    folder: String,
}

impl Foreign {
    /// None, and a line that says so, where they were not laid.
    pub async fn serve(plane: &ControlPlane, project: &str) -> Option<Self> {
        let folder = match foreign_definitions(project) {
            Ok(folder) => folder.display().to_string(),
            Err(error) => {
                not_run(LAYER, &error);
                return None;
            }
        };
        let kubectl = plane.kubectl();
        kubectl.ok(&["apply", "--server-side", "-f", &folder]).unwrap();
        stored::are_established(&kubectl, &folder, "").await;
        Some(Self { folder })
    }

    pub fn remove(self, plane: &ControlPlane) {
        let args = ["delete", "--timeout=60s", "-f", &self.folder];
        plane.kubectl().ok(&args).unwrap();
    }
}
