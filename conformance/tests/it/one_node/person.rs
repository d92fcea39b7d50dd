//! What a user does with kubectl, in a namespace of their own.

use std::sync::atomic::Ordering;
use std::time::Duration;

use conformance::Kubectl;
use serde_json::{Value, json};

use super::{COMPARED, PATIENCE};

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

    /// Compares a file with what was written.
    pub fn holds(&self, pod: &str, file: &str, written: &str) {
        self.same(pod, &format!("sha256sum <{file}"), written);
    }

    /// Compares what a command in the pod prints, a checksum, with that of what was written.
    pub fn same(&self, pod: &str, script: &str, written: &str) {
        assert_eq!(self.sh(pod, script), written, "{pod}: {script}");
        COMPARED.fetch_add(1, Ordering::Relaxed);
    }

    /// The names of the volumes of all claims.
    pub fn volumes(&self) -> Vec<String> {
        let path = "jsonpath={.items[*].spec.volumeName}";
        let names = self.kubectl(&["get", "pvc", "-o", path]);
        names.split_whitespace().map(str::to_owned).collect()
    }

    /// The ID of the volume of a claim.
    pub fn handle(&self, claim: &str) -> String {
        let name = self.kubectl(&["get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}"]);
        let path = "jsonpath={.spec.csi.volumeHandle}";
        self.kubectl.ok(&["get", "pv", &name, "-o", path]).unwrap()
    }

    /// Waits until a volume is attached nowhere.
    pub fn detached(&self, claim: &str) {
        let name = self.kubectl(&["get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}"]);
        let path =
            format!("jsonpath={{.items[?(@.spec.source.persistentVolumeName=='{name}')].metadata.name}}");
        let attachment = self.kubectl.ok(&["get", "volumeattachments", "-o", &path]);
        let attachment = attachment.unwrap();
        if !attachment.is_empty() {
            self.gone("volumeattachment", &[attachment]);
        }
    }

    /// Takes away all that is in the namespace, and the namespace.
    pub fn leaves(self) {
        let volumes = self.volumes();
        // One by one, and the empty namespace is not waited for: its controller begins after five seconds, and looks at what
        // finalizers keep every eight.
        let kinds = "deployments,statefulsets,pods,volumesnapshots,persistentvolumeclaims";
        self.kubectl(&["delete", kinds, "--all", PATIENCE]);
        self.kubectl
            .ok(&["delete", "namespace", &self.namespace, "--wait=false"])
            .unwrap();
        self.gone("pv", &volumes);
    }

    /// Takes the namespace away, with all that is in it.
    pub fn delete_namespace(&self) {
        let args = ["delete", "namespace", &self.namespace, PATIENCE];
        self.kubectl.ok(&args).unwrap();
    }

    /// Waits until objects without a namespace are gone.
    pub fn gone(&self, kind: &str, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let names = names.iter().map(String::as_str);
        let wait: Vec<&str> = ["wait", "--for=delete", PATIENCE, kind]
            .into_iter()
            .chain(names)
            .collect();
        self.kubectl.ok(&wait).unwrap();
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
