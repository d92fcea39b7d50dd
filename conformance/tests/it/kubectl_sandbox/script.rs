//! The commands.

/// Objects of the kinds that users look at.
const OBJECTS: &str = include_str!("objects.yaml");

const CHANGED: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: default}\ndata: {a: \"2\"}\n";
const APPLIED: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied, namespace: default}\ndata: {a: \"1\"}\n";
const APPLIED_OTHERWISE: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied, namespace: default}\ndata: {a: \"2\"}\n";
/// Items of several kinds in one object, as `kubectl get -o yaml` prints them.
const LIST: &str = "apiVersion: v1\nkind: List\nitems:\n\
    - {apiVersion: v1, kind: ConfigMap, metadata: {name: first, namespace: default}, data: {a: \"1\"}}\n\
    - {apiVersion: v1, kind: Secret, metadata: {name: second, namespace: default}, stringData: {a: b}}\n";
const BOUND: &str =
    r#"{"status":{"phase":"Bound","accessModes":["ReadWriteOnce"],"capacity":{"storage":"4Gi"}}}"#;
const GROWN: &str = r#"{"spec":{"resources":{"requests":{"storage":"8Gi"}}}}"#;
const FULL: &str = r#"{"status":{"hard":{"count/serviceaccounts":"0","requests.storage":"1Gi"},"used":{"count/serviceaccounts":"0","requests.storage":"4Gi"}}}"#;
const READY: &str =
    r#"{"status":{"readyToUse":true,"restoreSize":"4Gi","boundVolumeSnapshotContentName":"content"}}"#;
const CONTENT_READY: &str =
    r#"{"status":{"readyToUse":true,"restoreSize":4294967296,"snapshotHandle":"snap-1"}}"#;

/// The columns that scripts cut by position.
pub const COLUMNS: &[(&str, &str)] = &[
    (
        "pvc",
        "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE",
    ),
    (
        "pvc",
        "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE VOLUMEMODE",
    ),
    (
        "pv",
        "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE",
    ),
    (
        "pv",
        "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE VOLUMEMODE",
    ),
    (
        "sc",
        "NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE",
    ),
    ("vac", "NAME DRIVERNAME AGE"),
    (
        "csidriver",
        "NAME ATTACHREQUIRED PODINFOONMOUNT STORAGECAPACITY TOKENREQUESTS REQUIRESREPUBLISH MODES AGE",
    ),
    ("csinode", "NAME DRIVERS AGE"),
    ("volumeattachment", "NAME ATTACHER PV NODE ATTACHED AGE"),
    ("lease", "NAME HOLDER AGE"),
    ("quota", "NAME REQUEST LIMIT AGE"),
    (
        "vs",
        "NAME READYTOUSE SOURCEPVC SOURCESNAPSHOTCONTENT RESTORESIZE SNAPSHOTCLASS SNAPSHOTCONTENT CREATIONTIME AGE",
    ),
    (
        "vsc",
        "NAME READYTOUSE RESTORESIZE DELETIONPOLICY DRIVER VOLUMESNAPSHOTCLASS VOLUMESNAPSHOT VOLUMESNAPSHOTNAMESPACE AGE",
    ),
    ("vsclass", "NAME DRIVER DELETIONPOLICY AGE"),
];

/// One command.
pub struct Step {
    pub args: Vec<String>,
    pub input: &'static str,
    pub editor: &'static str,
    /// The order of the lines says nothing.
    pub is_unordered: bool,
}

impl Step {
    pub fn new(args: &[&str]) -> Self {
        Self {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            input: "",
            editor: "false",
            is_unordered: false,
        }
    }

    fn of(line: &str) -> Self {
        Self::new(&line.split_whitespace().collect::<Vec<_>>())
    }

    fn input(self, input: &'static str) -> Self {
        Self { input, ..self }
    }

    fn unordered(self) -> Self {
        Self {
            is_unordered: true,
            ..self
        }
    }
}

/// All commands in order.
pub fn steps() -> Vec<Step> {
    let definitions = format!("{}/../crds/manifests", env!("CARGO_MANIFEST_DIR"));
    let mut steps = vec![
        Step::new(&["apply", "--server-side", "-f", &definitions]),
        Step::of("wait --for=condition=Established crds --all --timeout=60s").unordered(),
        Step::of("apply -f -").input(OBJECTS),
        Step::of("apply -f -").input(OBJECTS),
    ];
    steps.extend(reads());
    steps.extend(writes());
    steps.extend(typed());
    steps.extend(ends());
    steps
}

fn reads() -> Vec<Step> {
    let lines = [
        "get pvc,pv,sc,vac,csidriver,csinode,volumeattachment,vs,vsc,vsclass,configmaps",
        "get pvc -o wide",
        "get pv -o wide",
        "get lease leader",
        "get pvc claim -o name",
        "get pvc claim -o yaml",
        "get vs snapshot -o yaml",
        "get sc ebs -o json",
        "get pvc -A --show-labels",
        "get pvc -l app=a --no-headers",
        "get pvc -l app=b",
        "get pvc --field-selector metadata.name=claim",
        "get pvc claim -o jsonpath={.spec.resources.requests.storage}",
        "get pvc -o custom-columns=NAME:.metadata.name,SIZE:.spec.resources.requests.storage",
        "get pvc none",
        "get paintings",
        "get vs snapshot none",
        // Kubernetes tells of itself in this namespace too, when it likes.
        "get events --field-selector=involvedObject.kind=PersistentVolumeClaim",
        "events --for=pvc/claim",
        "describe pvc claim",
        "describe sc ebs",
        "describe vs snapshot",
        "describe configmap settings",
        "explain pvc.spec.resources",
        "explain vs.spec",
        "explain vs --recursive",
        "explain pvc.paintings",
        "api-resources --api-group=coordination.k8s.io --no-headers",
        "api-resources --api-group=snapshot.storage.k8s.io --no-headers",
        "wait --for=jsonpath={.spec.volumeName}=volume pvc/claim --timeout=10s",
        "get pvc -w --request-timeout=5s",
    ];
    lines.into_iter().map(Step::of).collect()
}

fn writes() -> Vec<Step> {
    let editing = |script: &'static str, line: &str| Step {
        editor: script,
        ..Step::of(line)
    };
    let status = |kind: &str, patch: &str| {
        Step::new(&["patch", kind, "--subresource=status", "--type=merge", "-p", patch])
    };
    vec![
        Step::of("diff -f -").input(OBJECTS),
        Step::of("apply -f - --dry-run=server").input(CHANGED),
        Step::of("apply -f -").input(CHANGED),
        Step::of("get configmap settings -o jsonpath={.data}"),
        Step::of("apply --server-side -f -").input(APPLIED),
        Step::of("apply --server-side --field-manager=other -f -").input(APPLIED_OTHERWISE),
        Step::of("apply --server-side --field-manager=other --force-conflicts -f -").input(APPLIED_OTHERWISE),
        Step::of("get configmap applied -o yaml --show-managed-fields"),
        status("pvc/claim", BOUND),
        Step::new(&["patch", "pvc", "claim", "-p", GROWN]),
        Step::of("get pvc claim"),
        Step::of("describe pvc claim"),
        Step::new(&[
            "patch",
            "pvc",
            "claim",
            "--type=json",
            "-p",
            r#"[{"op":"remove","path":"/metadata/labels/app"}]"#,
        ]),
        Step::new(&[
            "patch",
            "pvc",
            "claim",
            "--type=merge",
            "-p",
            r#"{"spec":{"storageClassName":"other"}}"#,
        ]),
        status("vs/snapshot", READY),
        status("vsc/content", CONTENT_READY),
        Step::of("get vs"),
        Step::of("get vsc"),
        Step::of("wait --for=jsonpath={.status.readyToUse}=true vs/snapshot --timeout=10s"),
        editing("sed -i s/^..a:/\\x20\\x20c:/", "edit configmap applied"),
        editing("true", "edit configmap applied"),
        Step::of("get configmap applied -o jsonpath={.data}"),
        Step::of("label pvc claim tier=front"),
        Step::of("annotate pvc claim note=a"),
        Step::of("label pvc claim tier=back"),
        Step::of("label pvc claim tier=back --overwrite"),
        Step::of("create -f -").input(APPLIED),
        Step::of("replace -f -").input(APPLIED),
        Step::of("apply -f -")
            .input("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: wrong}\nthings: {}\n"),
    ]
}

/// Commands that send their objects as protobuf, and a file of a kind that no server has.
fn typed() -> Vec<Step> {
    let lines = [
        "create configmap made --from-literal=a=1 --from-literal=b=2",
        "create configmap made --from-literal=a=1",
        "create configmap Not_Good --from-literal=a=1",
        "create secret generic made --from-literal=a=1",
        "create secret generic tried --from-literal=a=1 --dry-run=server -o yaml",
        "create serviceaccount made",
        "create deployment made --image=registry.example/a:1 --replicas=2 --port=80",
        "create cronjob made --image=registry.example/a:1 --schedule=@daily",
        "create role made --verb=get,list --resource=pods",
        "create rolebinding made --role=made --serviceaccount=default:made",
        "get configmap made -o jsonpath={.data}",
        "get secret made -o jsonpath={.data}",
        "get deployment made -o jsonpath={.spec.replicas}{.spec.template.spec.containers}",
        "get cronjob made",
        "get cronjob made -o wide",
        "get cj made -o jsonpath={.spec}",
        "get rolebinding made -o jsonpath={.roleRef}{.subjects}",
        "create quota made --hard=count/serviceaccounts=0,requests.storage=1024Mi",
        "get quota made",
        "describe quota made",
    ];
    let mut steps: Vec<Step> = lines.into_iter().map(Step::of).collect();
    let full = [
        "patch",
        "quota/made",
        "--subresource=status",
        "--type=merge",
        "-p",
        FULL,
    ];
    steps.push(Step::new(&full));
    let lines = [
        "get quota",
        "describe quota made",
        "create quota bad --hard=things=1",
        "create quota tried --hard=pods=1 --dry-run=server -o yaml",
        "auth can-i get pods",
        "auth can-i delete persistentvolumeclaims -n kube-system",
        "create serviceaccount third",
        "delete deployment/made cronjob/made role/made rolebinding/made configmap/made secret/made serviceaccount/made quota/made",
    ];
    steps.extend(lines.into_iter().map(Step::of));
    steps.push(Step::of("apply -f -").input(LIST));
    steps.push(Step::of("apply -f -").input(LIST));
    steps.push(Step::of("delete -f -").input(LIST));
    steps
}

fn ends() -> Vec<Step> {
    let lines = [
        "delete configmap settings applied",
        "delete configmap settings",
        "delete configmap settings --ignore-not-found",
        "delete vs --all",
        "delete vsc content vsclass/snapshots",
        "delete vsc content",
        "delete pvc claim --wait=false",
        "get pvc claim",
    ];
    let mut steps: Vec<Step> = lines.into_iter().map(Step::of).collect();
    steps.push(Step::new(&[
        "patch",
        "pvc",
        "claim",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]));
    steps.push(Step::of("get pvc"));
    steps
}
