//! What the selftest makes. Nothing here reads or writes.

use serde_json::{Value, json};

/// Where the volume is mounted in the pods.
pub(super) const MOUNT: &str = "/data";
/// Of each object: which run made it.
pub(super) const RUN_LABEL: &str = "slackwater.io/selftest";
/// The user of the pods, who owns the volumes.
const USER: u32 = 65_532;

/// What all objects of a run share.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Its name, with which all others begin.
    pub name: String,
    /// Where all is made.
    pub namespace: String,
    /// The pod of the test, with which its objects go should it be killed: name and UID.
    pub owner: Option<(String, String)>,
    /// What its pods have of the pod of the test: image, where they may run, how images are pulled.
    pub pods: Likeness,
    /// Which data are written.
    pub seed: u64,
}

/// What pods have of another one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Likeness {
    /// The image.
    pub image: String,
    /// `imagePullPolicy`, where one is named.
    pub pull_policy: Value,
    /// Members of the spec of pods.
    pub spec: serde_json::Map<String, Value>,
}

impl Likeness {
    /// Of an image alone.
    pub(super) fn of_image(image: &str) -> Self {
        Self {
            image: image.to_owned(),
            ..Self::default()
        }
    }

    /// Of a pod.
    pub(super) fn of_pod(pod: &Value) -> Self {
        let spec = &pod["spec"];
        let container = &spec["containers"][0];
        let members = ["imagePullSecrets", "nodeSelector", "tolerations", "affinity"];
        let taken = members.iter().filter(|member| !spec[**member].is_null());
        Self {
            image: container["image"].as_str().unwrap_or_default().to_owned(),
            pull_policy: container["imagePullPolicy"].clone(),
            spec: taken
                .map(|member| ((*member).to_owned(), spec[*member].clone()))
                .collect(),
        }
    }
}

impl Run {
    /// The name of one of its objects.
    pub(super) fn named(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    /// The selector of its objects.
    pub(super) fn selector(&self) -> String {
        format!("{RUN_LABEL}={}", self.name)
    }

    fn metadata(&self, what: &str) -> Value {
        let mut metadata = json!({
            "name": self.named(what), "namespace": self.namespace,
            "labels": { "app.kubernetes.io/name": "slackwater-selftest", RUN_LABEL: self.name },
        });
        if let Some((name, uid)) = &self.owner {
            metadata["ownerReferences"] =
                json!([{ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid }]);
        }
        metadata
    }

    /// A claim of the class, empty or from a snapshot.
    pub(super) fn claim(&self, what: &str, class: &str, gib: u32, from: Option<&str>) -> Value {
        let mut claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": self.metadata(what),
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "resources": { "requests": { "storage": format!("{gib}Gi") } },
            },
        });
        if let Some(snapshot) = from {
            claim["spec"]["dataSource"] = json!({
                "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": self.named(snapshot),
            });
        }
        claim
    }

    /// A snapshot of a claim.
    pub(super) fn snapshot(&self, what: &str, class: &str, claim: &str) -> Value {
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": self.metadata(what),
            "spec": {
                "volumeSnapshotClassName": class,
                "source": { "persistentVolumeClaimName": self.named(claim) },
            },
        })
    }

    /// A pod that writes, and once it has written keeps the volume mounted.
    pub(super) fn writer(&self, what: &str, claim: &str) -> Value {
        let mut pod = self.pod(what, claim, &self.container("hold", &[]));
        pod["spec"]["initContainers"] = json!([self.container("write", &[])]);
        pod
    }

    /// A pod that compares what it finds with what was written, and ends.
    pub(super) fn checker(&self, what: &str, claim: &str, at_least: u64) -> Value {
        let flag = format!("--at-least={at_least}");
        self.pod(what, claim, &self.container("check", &[&flag]))
    }

    fn container(&self, task: &str, more: &[&str]) -> Value {
        let (path, seed) = (format!("--path={MOUNT}"), format!("--seed={}", self.seed));
        let args: Vec<&str> = [task, &path, &seed]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        let mut container = json!({
            "name": task, "image": self.pods.image, "command": ["slackwater", "selftest"], "args": args,
            "resources": { "requests": { "cpu": "10m", "memory": "16Mi" }, "limits": { "memory": "64Mi" } },
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
            },
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [{ "name": "data", "mountPath": MOUNT }],
        });
        if !self.pods.pull_policy.is_null() {
            container["imagePullPolicy"] = self.pods.pull_policy.clone();
        }
        container
    }

    fn pod(&self, what: &str, claim: &str, container: &Value) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": self.metadata(what),
            "spec": {
                "restartPolicy": "Never", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 5,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "containers": [container],
                "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": self.named(claim) } }],
            },
        });
        for (member, value) in &self.pods.spec {
            pod["spec"][member] = value.clone();
        }
        pod
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let pod = json!({ "spec": {
            "containers": [{ "image": "registry/slackwater:v1", "imagePullPolicy": "Always" }],
            "tolerations": [{ "operator": "Exists" }], "nodeName": "node-1",
        } });
        Run {
            name: "selftest-x".to_owned(),
            namespace: "ns".to_owned(),
            owner: Some(("test".to_owned(), "uid-1".to_owned())),
            pods: Likeness::of_pod(&pod),
            seed: 7,
        }
    }

    #[test]
    fn pods_are_like_that_of_the_test_and_go_with_it() {
        let pod = run().writer("writer", "source");
        let container = &pod["spec"]["initContainers"][0];
        assert_eq!(container["image"], "registry/slackwater:v1");
        assert_eq!(container["imagePullPolicy"], "Always");
        assert_eq!(container["args"], json!(["write", "--path=/data", "--seed=7"]));
        assert_eq!(pod["spec"]["tolerations"], json!([{ "operator": "Exists" }]));
        assert!(pod["spec"]["nodeName"].is_null(), "the scheduler chooses");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "uid-1");
        assert_eq!(pod["metadata"]["labels"][RUN_LABEL], "selftest-x");
    }

    /// Each container is started with flags that the program has.
    #[test]
    fn the_flags_of_the_pods_are_those_of_the_program() {
        use crate::selftest::{Args, Task};
        let run = run();
        for (container, task) in [
            (
                run.writer("writer", "source")["spec"]["initContainers"][0].clone(),
                Task::Write,
            ),
            (
                run.writer("writer", "source")["spec"]["containers"][0].clone(),
                Task::Hold,
            ),
            (
                run.checker("reader", "source", 5)["spec"]["containers"][0].clone(),
                Task::Check,
            ),
        ] {
            let words = container["args"].as_array().unwrap().iter();
            let words = words.map(|word| word.as_str().unwrap().into());
            let args: Args = base::args::parse(std::iter::once("selftest".into()).chain(words)).unwrap();
            assert_eq!((args.task, args.seed), (task, 7));
            assert_eq!(args.path, std::path::Path::new(MOUNT));
        }
    }
}
