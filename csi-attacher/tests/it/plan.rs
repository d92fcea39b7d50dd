//! What is decided, rule by rule.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::{Action, CallFailure, Next, Retries, SecretAnswer, SecretRead};
use csi::Class;
use csi_attacher::observe::{Answer, Memory, Observed, Published, Settings};
use csi_attacher::plan::volume;
use csi_attacher::plan::{Mark, Plan, Status, Step, plan};
use jiff::Timestamp;
use runtime::objects::SecretName;
use serde_json::{Value, json};
use tonic::Code;

use crate::world::{DRIVER, FINALIZER, NODE_ID, PROVISIONER};

/// All that a plan looks at, changed step by step.
struct Scene {
    attachment: Value,
    volume: Option<Value>,
    node: Option<Value>,
    differs_since: Option<u64>,
    answer: Option<Answer>,
    secret: Option<SecretRead>,
    memory: Memory,
    settings: Settings,
    now: Timestamp,
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// An attachment that is new, its volume and its node.
fn scene() -> Scene {
    let mut attachment = crate::world::attachment();
    attachment["metadata"] = json!({"name": "a", "uid": "a-uid", "resourceVersion": "7"});
    attachment["status"] = json!({"attached": false});
    let mut volume = crate::world::volume();
    volume["metadata"]["uid"] = json!("v-uid");
    Scene {
        attachment,
        volume: Some(volume),
        node: Some(json!({
            "metadata": {"name": "n"}, "spec": {"drivers": [{"name": DRIVER, "nodeID": "i-1", "topologyKeys": []}]},
        })),
        differs_since: None,
        answer: None,
        secret: None,
        memory: Memory::default(),
        settings: Settings {
            driver: DRIVER.into(),
            finalizer: FINALIZER.into(),
            publishes: true,
            publishes_read_only: false,
            single_node_multi_writer: false,
            default_fs_type: String::new(),
            error_codes: true,
        },
        now: at("2026-01-01T01:00:00Z"),
    }
}

impl Scene {
    fn plan(&self) -> Plan {
        let attachment = serde_json::from_value(self.attachment.clone()).unwrap();
        let volume = self
            .volume
            .as_ref()
            .map(|volume| serde_json::from_value(volume.clone()).unwrap());
        let node = self
            .node
            .as_ref()
            .map(|node| serde_json::from_value(node.clone()).unwrap());
        let observed = Observed {
            attachment: &attachment,
            volume: volume.as_ref(),
            node: node.as_ref(),
            differs_since: self.differs_since,
            answer: self.answer.as_ref(),
            secret: self.secret.as_ref(),
            memory: &self.memory,
            retries: &Retries::default(),
            settings: &self.settings,
        };
        plan(&observed, self.now)
    }

    /// As it is after the marks, and after the call.
    fn attached(mut self) -> Self {
        self.attachment["metadata"]["finalizers"] = json!([FINALIZER]);
        self.attachment["metadata"]["annotations"] =
            json!({NODE_ID: "i-1", "slackwater.io/volume-handle": "vol"});
        self.attachment["status"]["attached"] = json!(true);
        self
    }

    fn deleted(mut self) -> Self {
        self.attachment["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:59:00Z");
        self
    }
}

/// The steps by their names.
fn steps(plan: &Plan) -> Vec<&'static str> {
    let name = |action: &Action<Step>| match action {
        Action::Step(Step::Keep) => "keep",
        Action::Step(Step::Mark(_)) => "mark",
        Action::Step(Step::Publish(_)) => "publish",
        Action::Step(Step::Unpublish(_)) => "unpublish",
        Action::Step(Step::Release) => "release",
        Action::Step(Step::Status(Status::Attached(_))) => "attached",
        Action::Step(Step::Status(Status::Detached)) => "detached",
        Action::Step(Step::Status(Status::AttachError(_))) => "attach error",
        Action::Step(Step::Status(Status::DetachError(_))) => "detach error",
        Action::ReadSecret(_) => "secret",
        Action::Event(_) => "event",
    };
    plan.actions.iter().map(name).collect()
}

/// The error that is written.
fn error(plan: &Plan) -> Option<(String, Option<i32>)> {
    plan.steps().find_map(|step| match step {
        Step::Status(Status::AttachError(error) | Status::DetachError(error)) => {
            Some((error.message.clone(), error.error_code))
        }
        _ => None,
    })
}

fn failure(code: Code, text: &str) -> CallFailure {
    CallFailure {
        class: Class::Final,
        code: Some(code),
        text: text.into(),
        retry_after: None,
    }
}

#[test]
fn the_marks_come_before_the_call_and_only_where_they_are_not_there() {
    let new = scene();
    assert_eq!(steps(&new.plan()), ["mark", "publish"]);
    let mark = Mark {
        node_id: "i-1".into(),
        volume_handle: Some("vol".into()),
    };
    assert!(new.plan().steps().any(|step| *step == Step::Mark(mark.clone())));
    assert_eq!(new.plan().next, Next::Again);

    let mut foreign = scene();
    foreign.volume.as_mut().unwrap()["metadata"]["finalizers"] = json!(["other"]);
    assert_eq!(steps(&foreign.plan()), ["keep", "mark", "publish"]);

    let mut marked = scene().attached();
    marked.attachment["status"]["attached"] = json!(false);
    assert_eq!(steps(&marked.plan()), ["publish"]);
    // As upstream leaves it.
    marked.attachment["metadata"]["annotations"] = json!({NODE_ID: "i-1"});
    assert_eq!(steps(&marked.plan()), ["mark", "publish"]);
    marked.attachment["metadata"]["annotations"] =
        json!({NODE_ID: "i-0", "slackwater.io/volume-handle": "vol"});
    assert_eq!(steps(&marked.plan()), ["unpublish"], "another node ID");
    marked.answer = Some(Answer::Unpublished(Ok(())));
    assert_eq!(steps(&marked.plan()), ["mark", "publish"]);

    let attached = scene().attached();
    assert_eq!(attached.plan(), Plan::resting(Memory::default()));
}

#[test]
fn sidecars_case_156_an_error_of_what_is_attached_is_taken_back() {
    let mut scene = scene().attached();
    scene.attachment["status"]["attachmentMetadata"] = json!({"devicePath": "/dev/xvdaa"});
    scene.attachment["status"]["attachError"] = json!({"message": "no", "time": "2026-01-01T00:59:00Z"});
    let plan = scene.plan();
    let known = BTreeMap::from([("devicePath".to_owned(), "/dev/xvdaa".to_owned())]);
    let steps: Vec<&Step> = plan.steps().collect();
    assert_eq!(steps, [&Step::Status(Status::Attached(known))]);
    assert_eq!(plan.next, Next::Await);
}

#[test]
fn sidecars_case_198_an_error_of_what_is_listed_differently_stays_as_long_as_the_difference() {
    let mut scene = scene().attached();
    scene.attachment["status"]["attachError"] = json!({"message": "no", "time": "2026-01-01T00:59:00Z"});
    scene.differs_since = Some(1);
    scene.memory.settled_difference = Some(1);
    assert_eq!(steps(&scene.plan()), [] as [&str; 0]);
    scene.differs_since = None;
    assert_eq!(steps(&scene.plan()), ["attached"]);
}

#[test]
fn sidecars_case_199_a_message_is_cut_to_what_the_status_holds() {
    let mut scene = scene().attached();
    scene.attachment["status"] = json!({"attached": false});
    for (long, kept) in [
        ("x".repeat(1024), 1024),
        ("é".repeat(2000), 1023),
        ("x".repeat(3000), 1024),
    ] {
        scene.answer = Some(Answer::Published(Err(failure(Code::Internal, &long))));
        let (message, _) = error(&scene.plan()).unwrap();
        assert_eq!(message.len(), kept);
        assert!(long.starts_with(message.trim_end_matches("...")));
        scene.attachment["status"]["attachError"] =
            json!({"message": message, "time": "2026-01-01T00:59:00Z", "errorCode": 13});
        assert_eq!(steps(&scene.plan()), [] as [&str; 0], "the same error");
        scene.attachment["status"] = json!({"attached": false});
    }
}

#[test]
fn what_keeps_an_attachment_from_being_done_is_told() {
    let source = |source: Value| {
        let mut scene = scene();
        scene.attachment["spec"]["source"] = source;
        scene
    };
    let spec = |name: &str, value: Value| {
        let mut scene = scene();
        scene.volume.as_mut().unwrap()["spec"][name] = value;
        scene
    };
    let inline = json!({"accessModes": ["ReadWriteOnce"], "nfs": {"server": "s", "path": "/"}});
    for (scene, says) in [
        (source(json!({})), "exactly one of"),
        (
            source(json!({"persistentVolumeName": "v", "inlineVolumeSpec": inline})),
            "exactly one of",
        ),
        (source(json!({"inlineVolumeSpec": inline})), "no csi source"),
        (spec("csi", Value::Null), "neither csi nor migratable"),
        (
            spec("csi", json!({"driver": "other.csi", "volumeHandle": "x"})),
            "one of the CSI driver other.csi",
        ),
        (spec("accessModes", json!([])), "no supported access mode"),
    ] {
        let plan = scene.plan();
        let (message, code) = error(&plan).unwrap();
        assert!(message.contains(says), "{message}");
        assert_eq!((steps(&plan), code), (vec!["attach error"], None), "{says}");
        assert!(matches!(plan.next, Next::Backoff(_)), "{says}");
    }
}

#[test]
fn sidecars_case_29_modes_that_no_mode_of_csi_is_like_are_named() {
    let mut scene = scene();
    scene.volume.as_mut().unwrap()["spec"]["accessModes"] = json!(["ReadWriteOnce", "ReadOnlyMany"]);
    let (message, _) = error(&scene.plan()).unwrap();
    assert!(message.contains("ReadOnlyMany and ReadWriteOnce"), "{message}");
}

#[test]
fn what_is_missing_is_told_after_a_second() {
    for (take, says) in [
        (
            true,
            "PersistentVolume \"v\" not found, or it is none of the CSI driver",
        ),
        (false, "CSINode n not found"),
    ] {
        let mut scene = scene();
        if take {
            scene.volume = None;
        } else {
            scene.node = None;
        }
        let plan = scene.plan();
        assert!(plan.actions.is_empty());
        assert_eq!(plan.next, Next::After(Duration::from_secs(1)));
        scene.memory = plan.memory;
        scene.now = at("2026-01-01T01:00:01Z");
        let plan = scene.plan();
        assert!(error(&plan).unwrap().0.contains(says), "{says}");
    }
}

#[test]
fn the_file_system_of_a_volume_that_names_none_is_that_of_the_flag() {
    for (named, default, expected) in [
        (json!("xfs"), "ext4", "xfs"),
        (json!(""), "ext4", "ext4"),
        (Value::Null, "ext4", "ext4"),
        (Value::Null, "", ""),
    ] {
        let mut scene = scene();
        scene.volume.as_mut().unwrap()["spec"]["csi"]["fsType"] = named.clone();
        scene.settings.default_fs_type = default.into();
        let plan = scene.plan();
        let call = plan.steps().find_map(|step| match step {
            Step::Publish(call) => Some(call.clone()),
            _ => None,
        });
        let access = call.unwrap().capability.access_type.unwrap();
        let csi::v1::volume_capability::AccessType::Mount(mount) = access else {
            panic!("a block volume");
        };
        assert_eq!(mount.fs_type, expected, "{named} {default}");
    }
}

#[test]
fn an_answer_is_written_where_it_is_news() {
    let context = || BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    let mut scene = scene().attached();
    scene.attachment["status"] = json!({"attached": false});
    scene.answer = Some(Answer::Published(Ok(context())));
    assert_eq!(steps(&scene.plan()), ["attached"]);
    assert_eq!(scene.plan().next, Next::Await);
    // The node has gone meanwhile: attached it is all the same.
    scene.node = None;
    assert_eq!(steps(&scene.plan()), ["attached"]);
    // Attached once more, since the driver did not list it.
    scene.differs_since = Some(3);
    scene.attachment["status"] = json!({"attached": true, "attachmentMetadata": {"k": "v"}});
    let plan = scene.plan();
    assert_eq!(steps(&plan), [] as [&str; 0]);
    assert_eq!(plan.memory.settled_difference, Some(3));
    scene.attachment["status"]["attachmentMetadata"] = json!({"k": "w"});
    assert_eq!(steps(&scene.plan()), ["attached"]);
}

#[test]
fn sidecars_case_104_a_written_error_stands_for_five_minutes() {
    let mut scene = scene().attached();
    let failed = |code, text: &str| Some(Answer::Published(Err(failure(code, text))));
    scene.attachment["status"] = json!({
        "attached": false,
        "attachError": {"message": "no", "time": "2026-01-01T00:59:00Z", "errorCode": 13},
    });
    scene.answer = failed(Code::Internal, "no");
    assert_eq!(steps(&scene.plan()), [] as [&str; 0]);
    assert!(matches!(scene.plan().next, Next::Backoff(_)));
    for (code, text) in [(Code::Internal, "other"), (Code::Aborted, "no")] {
        scene.answer = failed(code, text);
        assert_eq!(
            error(&scene.plan()),
            Some((text.to_owned(), Some(i32::from(code))))
        );
    }
    // An API server before 1.33 does not keep the code.
    scene.attachment["status"]["attachError"]["errorCode"] = Value::Null;
    scene.answer = failed(Code::Internal, "no");
    assert_eq!(steps(&scene.plan()), [] as [&str; 0]);
    scene.now = at("2026-01-01T01:04:00Z");
    assert_eq!(steps(&scene.plan()), ["attach error"]);
}

#[test]
fn a_difference_is_looked_into_once() {
    let mut scene = scene().attached();
    scene.differs_since = Some(1);
    assert_eq!(steps(&scene.plan()), ["publish"]);
    scene.answer = Some(Answer::Published(Err(failure(Code::Internal, "no"))));
    let plan = scene.plan();
    assert_eq!(steps(&plan), ["attach error"]);
    (scene.memory, scene.answer) = (plan.memory, None);
    assert_eq!(steps(&scene.plan()), [] as [&str; 0]);
    scene.differs_since = Some(2);
    assert_eq!(steps(&scene.plan()), ["publish"]);
}

#[test]
fn secrets_are_read_for_each_call_and_a_missing_one_is_told() {
    let name = || SecretName {
        namespace: "ns".into(),
        name: "s".into(),
    };
    let read = |answer| SecretRead {
        secret: name(),
        answer,
    };
    for scene in [scene(), scene().attached().deleted()] {
        let mut scene = scene;
        let reference = json!({"namespace": "ns", "name": "s"});
        scene.volume.as_mut().unwrap()["spec"]["csi"]["controllerPublishSecretRef"] = reference;
        let plan = scene.plan();
        assert_eq!((steps(&plan), &plan.next), (vec!["secret"], &Next::Again));
        for (answer, says) in [
            (
                SecretAnswer::NotFound,
                "ns/s of controllerPublishSecretRef does not exist",
            ),
            (SecretAnswer::Refused("may not".into()), "cannot be used: may not"),
        ] {
            scene.secret = Some(read(answer));
            assert!(error(&scene.plan()).unwrap().0.contains(says), "{says}");
        }
        scene.secret = Some(read(SecretAnswer::Found(BTreeMap::new())));
        let last = *steps(&scene.plan()).last().unwrap();
        assert!(["publish", "unpublish"].contains(&last));
    }
}

#[test]
fn what_the_annotation_does_not_tell_is_remembered() {
    let remembered = |scene: &Scene| scene.plan().memory.volume.map(|volume| *volume);
    let mut scene = scene().attached();
    assert_eq!(remembered(&scene), None, "the annotation tells all");
    scene.attachment["metadata"]["annotations"] = json!({NODE_ID: "i-1"});
    let published = Published {
        handle: "vol".into(),
        ..Published::default()
    };
    assert_eq!(remembered(&scene), Some(published.clone()));
    // It stays when the object goes, and is what is detached.
    scene.memory = scene.plan().memory;
    scene.volume = None;
    assert_eq!(remembered(&scene), Some(published));
    assert_eq!(steps(&scene.deleted().plan()), ["unpublish"]);
}

#[test]
fn sidecars_case_188_a_volume_made_anew_under_the_name_is_not_detached_in_the_place_of_the_first() {
    let handle = |scene: &Scene| {
        let plan = scene.plan();
        let call = plan.steps().find_map(|step| match step {
            Step::Unpublish(call) => Some(call.handle.clone()),
            _ => None,
        });
        call.unwrap()
    };
    let mut scene = scene().attached();
    scene.volume.as_mut().unwrap()["spec"]["csi"]["volumeHandle"] = json!("another");
    assert_eq!(handle(&scene.deleted()), "vol");
}

#[test]
fn sidecars_case_188_its_secret_is_remembered_as_it_was() {
    let mut scene = scene().attached();
    let reference = json!({"namespace": "ns", "name": "first"});
    scene.volume.as_mut().unwrap()["spec"]["csi"]["controllerPublishSecretRef"] = reference;
    scene.memory = scene.plan().memory;
    let anew = json!({"driver": DRIVER, "volumeHandle": "another"});
    scene.volume.as_mut().unwrap()["spec"]["csi"] = anew;
    scene.memory = scene.plan().memory;
    let plan = scene.deleted().plan();
    assert!(
        matches!(&plan.actions[..], [Action::ReadSecret(secret)] if secret.name == "first"),
        "{plan:?}"
    );
}

#[test]
fn sidecars_case_110_the_end_of_a_detachment_is_one_write_where_nobody_else_holds_it() {
    for (finalizers, status, expected) in [
        (json!([FINALIZER]), json!({"attached": true}), vec!["release"]),
        (
            json!([FINALIZER, "other"]),
            json!({"attached": true}),
            vec!["detached", "release"],
        ),
        (
            json!([FINALIZER, "other"]),
            json!({"attached": false}),
            vec!["release"],
        ),
        (
            json!(["other", FINALIZER]),
            json!({"attached": false, "detachError": {"message": "no"}}),
            vec!["detached", "release"],
        ),
    ] {
        let mut scene = scene().attached().deleted();
        scene.attachment["metadata"]["finalizers"] = finalizers.clone();
        scene.attachment["status"] = status;
        assert_eq!(steps(&scene.plan()), ["unpublish"]);
        scene.answer = Some(Answer::Unpublished(Ok(())));
        assert_eq!(steps(&scene.plan()), expected, "{finalizers}");
    }
}

#[test]
fn an_answer_to_an_attachment_says_nothing_of_its_deletion() {
    let mut scene = scene().attached().deleted();
    for outcome in [Ok(BTreeMap::new()), Err(failure(Code::Internal, "no"))] {
        scene.answer = Some(Answer::Published(outcome));
        assert_eq!(steps(&scene.plan()), ["unpublish"]);
    }
}

#[test]
fn sidecars_case_115_without_calls_nothing_is_held() {
    let mut new = scene();
    new.settings.publishes = false;
    new.volume = None;
    assert_eq!(steps(&new.plan()), ["attached"]);
    for mut scene in [scene().attached(), scene().deleted()] {
        scene.settings.publishes = false;
        assert_eq!(scene.plan(), Plan::resting(Memory::default()));
    }
}

#[test]
fn sidecars_cases_116_and_152_who_lets_a_volume_go_and_when() {
    let deleted = "2026-01-01T00:00:00Z";
    for (metadata, is_attached, expected) in [
        (json!({"finalizers": [FINALIZER]}), false, false),
        (
            json!({"finalizers": [FINALIZER], "deletionTimestamp": deleted}),
            false,
            true,
        ),
        (
            json!({"finalizers": [FINALIZER], "deletionTimestamp": deleted}),
            true,
            false,
        ),
        (
            json!({"finalizers": [PROVISIONER, FINALIZER], "deletionTimestamp": deleted}),
            false,
            false,
        ),
        (
            json!({"finalizers": ["other"], "deletionTimestamp": deleted}),
            false,
            false,
        ),
    ] {
        let mut object = crate::world::volume();
        object["metadata"] = metadata.clone();
        let object = serde_json::from_value(object).unwrap();
        let plan = volume::plan(&object, is_attached, DRIVER, FINALIZER);
        assert_eq!(!plan.actions.is_empty(), expected, "{metadata} {is_attached}");
        assert_eq!(plan.next, Next::Await);
    }
}
