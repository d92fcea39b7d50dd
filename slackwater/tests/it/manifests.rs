//! The manifests of `deploy/`, without a cluster: what their containers are told is what our programs take, and the two shapes of
//! the EBS driver's pod tell its functions the same.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use base::args::Environment;
use serde_json::{Value, json};
use slackwater::controller::{ControllerCommand, WhenLost};
use slackwater::mode::{Invocation, Mode};

const DROP_IN: &str = "ebs/drop-in/controller.yaml";
const ALL_IN_ONE: &str = "ebs/all-in-one/controller.yaml";
const NODE: &str = "ebs/base/node.yaml";

/// Upstream's, in its order.
const CONTAINERS: [&str; 6] = [
    "ebs-plugin",
    "csi-provisioner",
    "csi-attacher",
    "csi-snapshotter",
    "csi-resizer",
    "liveness-probe",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every YAML file in a folder and those in it.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    found.sort();
}

fn objects(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let documents = text.split("\n---\n").map(serde_saphyr::from_str);
    documents
        .map(|read| read.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .collect()
}

fn of_deploy(file: &str) -> Vec<Value> {
    objects(&repository().join("deploy").join(file))
}

fn containers(object: &Value) -> Vec<&Value> {
    let containers = object["spec"]["template"]["spec"]["containers"].as_array();
    containers.into_iter().flatten().collect()
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The arguments with `$(NAME)` as the kubelet fills it in; a name that is not in the environment stays.
fn args(container: &Value) -> Vec<String> {
    let mut args = texts(&container["args"]);
    for variable in container["env"].as_array().into_iter().flatten() {
        let reference = format!("$({})", variable["name"].as_str().unwrap());
        if let Some(value) = variable["value"].as_str() {
            args = args.iter().map(|arg| arg.replace(&reference, value)).collect();
        }
    }
    args
}

/// Reads and checks a command line as the mode does before it starts to work.
fn taken(words: &[String]) -> Result<(), String> {
    if let Some(word) = words.iter().find(|word| word.contains("$(")) {
        return Err(format!("nothing fills {word} in"));
    }
    let line = words.iter().map(OsString::from);
    let invocation = Invocation::of(line).map_err(|none| none.text)?;
    let (environment, line) = (Environment::default(), invocation.args);
    let refused = |error: &dyn std::fmt::Display| error.to_string();
    match invocation.mode {
        Mode::Controller => {
            let command = ControllerCommand::parse(line).map_err(|error| refused(&error))?;
            let settings = command.commands.settings(&environment, WhenLost::CompeteAgain);
            settings.map(drop).map_err(|error| refused(&error))
        }
        Mode::Function(function) => {
            let command = (function.entry().unwrap().parse)(line).map_err(|error| refused(&error))?;
            let start = command.check(&environment);
            start.map(drop).map_err(|error| refused(&error))
        }
        Mode::AwsEbsCsiDriver => {
            let args: ebs_driver::Args = base::args::parse(line).map_err(|error| refused(&error))?;
            args.config().map_err(|error| refused(&error))?;
            args.node_options().map(drop).map_err(|error| refused(&error))
        }
        Mode::NodeDriverRegistrar => {
            let args: node_driver_registrar::Args =
                base::args::parse(line).map_err(|error| refused(&error))?;
            args.task().map(drop).map_err(|error| refused(&error))
        }
        Mode::Livenessprobe => {
            let args: livenessprobe::Args = base::args::parse(line).map_err(|error| refused(&error))?;
            args.config().map(drop).map_err(|error| refused(&error))
        }
        Mode::ConversionWebhook => {
            let args: snapshot_controller::webhook::Args =
                base::args::parse(line).map_err(|error| refused(&error))?;
            args.files().map(drop).map_err(|error| refused(&error))
        }
        other => Err(format!("{} is no mode for a pod", other.name())),
    }
}

#[test]
fn our_programs_take_the_arguments_of_every_container() {
    let mut paths = Vec::new();
    files(&repository().join("deploy"), &mut paths);
    let mut seen = 0;
    for path in paths {
        for object in objects(&path) {
            for container in containers(&object) {
                let command = texts(&container["command"]);
                // A patch of a Deployment may leave the command to what it changes.
                let command = match (command.is_empty(), container["name"].as_str()) {
                    (true, Some(name)) => vec!["slackwater".to_owned(), name.to_owned()],
                    _ => command,
                };
                let line = [command, args(container)].concat();
                let outcome = taken(&line);
                assert_eq!(outcome, Ok(()), "{}: {}", path.display(), line.join(" "));
                seen += 1;
            }
        }
    }
    assert!(seen >= 14, "{seen} containers");
}

#[test]
fn what_no_program_takes_is_found() {
    let line = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    for (words, says) in [
        (&["slackwater", "csi-sizer"][..], "no mode"),
        (
            &["slackwater", "csi-resizer", "--worker-threads=1"],
            "--worker-threads",
        ),
        (&["slackwater", "csi-resizer", "--timeout=0s"], "--timeout"),
        (
            &["slackwater", "csi-resizer", "--csi-address=$(ADDRESS)"],
            "$(ADDRESS)",
        ),
        (
            &["slackwater", "aws-ebs-csi-driver", "node", "--batching=true"],
            "--batching",
        ),
        (&["slackwater", "quickstart"], "no mode for a pod"),
    ] {
        let refusal = taken(&line(words)).unwrap_err();
        assert!(refusal.contains(says), "{words:?}: {refusal}");
    }
}

/// What a function is told beside where its driver is, how much it logs and how fast it may ask; in the pod of one container
/// its flags have its name in front.
fn told(container: &Value, function: Option<&str>) -> Vec<String> {
    let not_compared = [
        "csi-address",
        "v",
        "kube-api-qps",
        "kube-api-burst",
        "endpoint",
        "logging-format",
    ];
    let mut told = Vec::new();
    for arg in texts(&container["args"]) {
        let flag = match function {
            None => arg.strip_prefix("--"),
            Some(function) => arg.strip_prefix(&format!("--{function}.")),
        };
        let Some(flag) = flag else { continue };
        let name = flag.split('=').next().unwrap();
        if !not_compared.contains(&name) {
            told.push(flag.to_owned());
        }
    }
    told.sort();
    told
}

#[test]
fn both_shapes_tell_each_function_the_same() {
    let (drop_in, all_in_one) = (of_deploy(DROP_IN), of_deploy(ALL_IN_ONE));
    let names: Vec<_> = containers(&drop_in[0])
        .iter()
        .map(|one| one["name"].clone())
        .collect();
    assert_eq!(names, CONTAINERS);
    let together = containers(&all_in_one[0]);
    assert_eq!(together.len(), 1);
    let functions = texts(&together[0]["args"])[0].clone();
    let named = "driver,csi-provisioner,csi-attacher,csi-snapshotter,csi-resizer";
    assert_eq!(functions, format!("--functions={named}"));
    for (function, container) in named.split(',').zip(containers(&drop_in[0])) {
        let alone = told(container, None);
        assert!(!alone.is_empty(), "{function}");
        assert_eq!(told(together[0], Some(function)), alone, "{function}");
    }
    // One goes from the one to the other, and from upstream's: what cannot be changed is the same.
    for deployment in [&drop_in[0], &all_in_one[0]] {
        assert_eq!(deployment["metadata"]["name"], "ebs-csi-controller");
        let labels = json!({ "app": "ebs-csi-controller", "app.kubernetes.io/name": "aws-ebs-csi-driver" });
        assert_eq!(deployment["spec"]["selector"]["matchLabels"], labels);
    }
}

/// Verbs by group and resource.
type Rules = BTreeMap<(String, String), Vec<String>>;

fn add(rules: &mut Rules, rule: &Value) {
    for group in texts(&rule["apiGroups"]) {
        for resource in texts(&rule["resources"]) {
            let verbs = rules.entry((group.clone(), resource)).or_default();
            verbs.extend(texts(&rule["verbs"]));
            verbs.sort();
        }
    }
}

fn rules(file: &str, kind: &str, role: &str) -> Rules {
    let objects = of_deploy(file);
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == role;
    let role = objects
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("{file} has no {role}"));
    let mut rules = Rules::new();
    for rule in role["rules"].as_array().unwrap() {
        add(&mut rules, rule);
    }
    rules
}

/// The conformance tests run the functions under those of the other files.
#[test]
fn a_function_has_the_same_rights_beside_the_ebs_driver_as_alone() {
    for (name, alone_in) in [
        ("provisioner", "rbac.yaml"),
        ("attacher", "rbac.yaml"),
        ("snapshotter", "rbac.yaml"),
        ("resizer", "resizer/rbac.yaml"),
    ] {
        let beside = rules(
            &format!("ebs/base/csi-{name}-rbac.yaml"),
            "ClusterRole",
            &format!("ebs-external-{name}-role"),
        );
        let alone = rules(alone_in, "ClusterRole", &format!("slackwater-csi-{name}"));
        assert_eq!(beside, alone, "{name}");
    }
    let leases = rules("ebs/base/controller-rbac.yaml", "Role", "ebs-csi-leases-role");
    assert_eq!(
        leases,
        rules("resizer/rbac.yaml", "Role", "slackwater-csi-resizer")
    );
}

/// The rights of a role, and those that the component adds.
fn with_upstream_rights(file: &str, kind: &str, role: &str) -> Rules {
    let mut granted = rules(file, kind, role);
    let component = of_deploy("ebs/components/upstream-rights/kustomization.yaml").remove(0);
    let patches = component["patches"].as_array().unwrap().iter();
    for patch in patches.filter(|patch| patch["target"]["name"] == role) {
        let operations: Vec<Value> = serde_saphyr::from_str(patch["patch"].as_str().unwrap()).unwrap();
        for operation in &operations {
            add(&mut granted, &operation["value"]);
        }
    }
    granted
}

fn has_all(granted: &Rules, wanted: &Rules) {
    for (what, verbs) in wanted {
        let has = granted.get(what).cloned().unwrap_or_default();
        let lacks: Vec<_> = verbs.iter().filter(|verb| !has.contains(verb)).collect();
        assert!(lacks.is_empty(), "{lacks:?} of {what:?}");
    }
}

/// So that a pod of theirs which leads while the Deployment is rolled over can work.
#[test]
fn upstreams_programs_have_their_rights_with_the_component() {
    let upstreams = |file: &str, kind: &str, role: &str| {
        let file = format!("../conformance/roles/{file}");
        rules(&file, kind, role)
    };
    for (name, file) in [
        ("provisioner", "upstream-volumes.yaml"),
        ("attacher", "upstream-volumes.yaml"),
        ("snapshotter", "upstream.yaml"),
        ("resizer", "upstream.yaml"),
    ] {
        let granted = with_upstream_rights(
            &format!("ebs/base/csi-{name}-rbac.yaml"),
            "ClusterRole",
            &format!("ebs-external-{name}-role"),
        );
        let theirs = upstreams(file, "ClusterRole", &format!("external-{name}-runner"));
        has_all(&granted, &theirs);
    }
    let leases = with_upstream_rights("ebs/base/controller-rbac.yaml", "Role", "ebs-csi-leases-role");
    has_all(
        &leases,
        &upstreams("upstream.yaml", "Role", "external-resizer-cfg"),
    );
}

#[test]
fn journeys_case_78_our_image_is_started_under_upstreams_names() {
    let links = fs::read_to_string(repository().join("images/links")).unwrap();
    let links: Vec<&str> = links.lines().collect();
    // Upstream's manifests name no command: its images start these.
    for (pod, container) in [DROP_IN, NODE].iter().flat_map(|file| {
        let object = of_deploy(file).remove(0);
        let list: Vec<Value> = containers(&object).into_iter().cloned().collect();
        list.into_iter().map(move |container| (*file, container))
    }) {
        let mode = texts(&container["command"])[1].clone();
        let of_mode = |link: &&&str| {
            let invocation = Invocation::of([OsString::from(**link)]);
            invocation.is_ok_and(|invocation| invocation.mode.name() == mode)
        };
        let link = links
            .iter()
            .find(of_mode)
            .unwrap_or_else(|| panic!("{pod}: no link is {mode}"));
        let line = [vec![(*link).to_owned()], args(&container)].concat();
        assert_eq!(taken(&line), Ok(()), "{pod}: {}", line.join(" "));
    }
    let node = of_deploy(NODE).remove(0);
    let hook = texts(&containers(&node)[0]["lifecycle"]["preStop"]["exec"]["command"]);
    assert!(links.contains(&hook[0].as_str()), "{hook:?}");
    assert_eq!(taken(&hook), Ok(()));
}
