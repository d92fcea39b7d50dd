//! What a user does with kubectl, in a namespace of their own.

use std::time::Duration;

use conformance::Kubectl;
use serde_json::{Value, json};

use super::PATIENCE;

/// Makes a file of random bytes and prints its checksum.
const MADE: &str = "head -c 8000000 /dev/urandom >$FILE && sync && sha256sum <$FILE";

/// How many seconds kubelet may take to know its pods.
const KUBELET_BEGINS: u32 = 60;

/// A user. The namespace goes with [`Person::leaves`].
pub struct Person {
    kubectl: Kubectl,
    namespace: String,
}

impl Person {
    pub fn new(kubectl: Kubectl, name: &str) -> Self {
        kubectl.ok(&["create", "namespace", name]).unwrap();
        let person = Self {
            kubectl,
            namespace: name.to_owned(),
        };
        // Pods are refused before it.
        person.kubectl(&["wait", "--for=create", "serviceaccount/default", PATIENCE]);
        person
    }

    /// kubectl in the namespace; it must succeed.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let args: Vec<&str> = ["-n", &self.namespace]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        self.kubectl.ok(&args).unwrap()
    }

    pub fn apply(&self, objects: &[Value]) {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        let args = ["apply", "-n", &self.namespace, "-f", "-"];
        self.kubectl.ok_with(&args, &list.to_string()).unwrap();
    }

    /// Waits for a condition, as `kubectl wait --for` has them.
    pub fn wait(&self, what: &str, condition: &str) {
        let waited = [
            "wait",
            what,
            &format!("--for={condition}"),
            PATIENCE,
            "-n",
            &self.namespace,
        ];
        if let Err(error) = self.kubectl.ok(&waited) {
            let all = ["get", "pods,pvc,volumesnapshots,events", "-n", &self.namespace];
            panic!("{error}\n{}", self.kubectl.run(&all).unwrap().stdout);
        }
    }

    /// A pod that sleeps, with these claims mounted at `/NAME`, once it is ready.
    pub fn pod(&self, name: &str, claims: &[&str]) {
        self.apply(&[pod(name, claims)]);
        self.wait(&format!("pod/{name}"), "condition=Ready");
    }

    /// Deletes an object and waits until it is gone.
    pub fn delete(&self, what: &str) {
        self.kubectl(&["delete", what, PATIENCE]);
    }

    /// What a shell in the pod prints. A kubelet that has just begun knows its pods a moment later.
    pub fn sh(&self, pod: &str, script: &str) -> String {
        let args = ["-n", &self.namespace, "exec", pod, "--", "sh", "-c", script];
        for _ in 0..KUBELET_BEGINS {
            let output = self.kubectl.run(&args).unwrap();
            if output.success {
                return output.stdout.trim().to_owned();
            }
            let stderr = output.stderr;
            assert!(
                stderr.contains("unable to upgrade connection"),
                "{script}: {stderr}"
            );
            std::thread::sleep(Duration::from_secs(1));
        }
        panic!("{pod}: kubelet does not know it");
    }

    /// Writes random bytes to a file, durably; their checksum.
    pub fn writes(&self, pod: &str, file: &str) -> String {
        self.sh(pod, &format!("FILE={file}; {MADE}"))
    }

    /// The checksum of a file.
    pub fn checksum(&self, pod: &str, file: &str) -> String {
        self.sh(pod, &format!("sha256sum <{file}"))
    }

    /// Takes the namespace away, with all that is in it.
    pub fn leaves(self) {
        let args = ["delete", "namespace", &self.namespace, PATIENCE];
        self.kubectl.ok(&args).unwrap();
        // Volumes have no namespace: they go a moment later.
        let volumes = ["wait", "--for=delete", "pv", "--all", PATIENCE];
        let gone = self.kubectl.run(&volumes).unwrap();
        assert!(
            gone.success || gone.stderr.contains("no matching resources"),
            "{}",
            gone.stderr
        );
    }
}

/// A claim of the class and size; `more` is merged into its spec.
pub fn claim(name: &str, class: &str, size: &str, more: Value) -> Value {
    let mut claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": class,
            "resources": { "requests": { "storage": size } },
        },
    });
    if let (Some(spec), Value::Object(more)) = (claim["spec"].as_object_mut(), more) {
        spec.extend(more);
    }
    claim
}

/// A class that formats with this file system.
pub fn class(name: &str, file_system: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": name },
        "provisioner": "ebs.csi.aws.com",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
        "parameters": { "type": "gp3", "csi.storage.k8s.io/fstype": file_system },
    })
}

/// A snapshot of a claim.
pub fn snapshot(name: &str, claim: &str) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": { "name": name },
        "spec": { "source": { "persistentVolumeClaimName": claim } },
    })
}

/// For the spec of a claim: what it begins with.
pub fn from_snapshot(name: &str) -> Value {
    json!({ "dataSource": { "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name } })
}

/// The same of a claim that is cloned.
pub fn from_claim(name: &str) -> Value {
    json!({ "dataSource": { "kind": "PersistentVolumeClaim", "name": name } })
}

/// A pod that sleeps, with these claims mounted at `/NAME`.
pub fn pod(name: &str, claims: &[&str]) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": pod_spec(claims) })
}

/// Its spec.
pub fn pod_spec(claims: &[&str]) -> Value {
    let volumes: Vec<Value> = claims
        .iter()
        .map(|claim| json!({ "name": claim, "persistentVolumeClaim": { "claimName": claim } }))
        .collect();
    let mounts: Vec<Value> = claims
        .iter()
        .map(|claim| json!({ "name": claim, "mountPath": format!("/{claim}") }))
        .collect();
    json!({
        "terminationGracePeriodSeconds": 0,
        "containers": [{
            "name": "shell", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "volumeMounts": mounts,
        }],
        "volumes": volumes,
    })
}
