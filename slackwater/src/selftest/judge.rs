//! What the objects say: which classes are taken, and how far what was asked for has come. Nothing here reads or writes.

use serde_json::Value;

use super::objects::text;

/// How far something has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// It is there.
    Done,
    /// Not yet; what is seen instead.
    Waits(String),
    /// It will not come.
    Failed(String),
}

impl Stage {
    fn waits(text: impl Into<String>) -> Self {
        Self::Waits(text.into())
    }
}

/// Whether a pod runs: its first containers have done their work.
pub(super) fn runs(pod: Option<&Value>) -> Stage {
    let Some(pod) = pod else { return gone() };
    match text(pod, "/status/phase") {
        "Running" => Stage::Done,
        "Failed" => Stage::Failed(end_of(pod)),
        _ => Stage::Waits(pending(pod)),
    }
}

/// Whether a pod has done its work.
pub(super) fn succeeded(pod: Option<&Value>) -> Stage {
    let Some(pod) = pod else { return gone() };
    match text(pod, "/status/phase") {
        "Succeeded" => Stage::Done,
        "Failed" => Stage::Failed(end_of(pod)),
        "Running" => Stage::waits("it runs"),
        _ => Stage::Waits(pending(pod)),
    }
}

/// Whether a snapshot can be restored.
pub(super) fn is_ready(snapshot: Option<&Value>) -> Stage {
    let Some(snapshot) = snapshot else { return gone() };
    if snapshot.pointer("/status/readyToUse") == Some(&Value::Bool(true)) {
        return Stage::Done;
    }
    let error = text(snapshot, "/status/error/message");
    Stage::Waits(if !error.is_empty() {
        format!("status.error: {error}")
    } else if snapshot.pointer("/status/creationTime").is_some() {
        "it is taken, and EC2 copies it".to_owned()
    } else if snapshot.get("status").is_none() {
        "no snapshot-controller has looked at it yet".to_owned()
    } else {
        "it is not taken yet".to_owned()
    })
}

/// Whether a claim has grown to a size, on its node too.
pub(super) fn has_grown(claim: Option<&Value>, size: &str) -> Stage {
    let Some(claim) = claim else { return gone() };
    let stage = text(claim, "/status/allocatedResourceStatuses/storage");
    if text(claim, "/status/capacity/storage") == size && stage.is_empty() {
        return Stage::Done;
    }
    if stage.ends_with("Infeasible") {
        return Stage::Failed(with_conditions(stage, claim));
    }
    Stage::Waits(with_conditions(
        if stage.is_empty() { "not begun" } else { stage },
        claim,
    ))
}

fn gone() -> Stage {
    Stage::waits("it is not there")
}

/// A text, and what the conditions of an expansion say.
fn with_conditions(first: &str, object: &Value) -> String {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let mut all = vec![first.to_owned()];
    for condition in conditions.into_iter().flatten() {
        let (kind, message) = (text(condition, "/type"), text(condition, "/message"));
        if kind.contains("Resiz") && !message.is_empty() {
            all.push(format!("{kind}: {message}"));
        }
    }
    all.join("; ")
}

/// What a pod waits for: the scheduler, an image, its volumes.
fn pending(pod: &Value) -> String {
    let mut all = vec![match text(pod, "/status/phase") {
        "" => "it is not looked at yet".to_owned(),
        phase => format!("it is {phase}"),
    }];
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let unscheduled = conditions.into_iter().flatten().find(|condition| {
        text(condition, "/type") == "PodScheduled" && text(condition, "/status") == "False"
    });
    all.extend(unscheduled.map(|condition| text(condition, "/message").to_owned()));
    for container in containers(pod) {
        let reason = text(container, "/state/waiting/reason");
        if !matches!(reason, "" | "PodInitializing" | "ContainerCreating") {
            all.push(format!("{reason}: {}", text(container, "/state/waiting/message")));
        }
    }
    all.join("; ")
}

/// How a pod has failed.
fn end_of(pod: &Value) -> String {
    let ended = containers(pod).filter(|container| {
        let code = container.pointer("/state/terminated/exitCode");
        code.and_then(Value::as_i64).is_some_and(|code| code != 0)
    });
    let mut said = ended.map(|container| text(container, "/state/terminated/message").trim().to_owned());
    said.find(|message| !message.is_empty())
        .unwrap_or_else(|| match text(pod, "/status/message") {
            "" => format!("it failed: {}", text(pod, "/status/reason")),
            message => message.to_owned(),
        })
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let of = |member: &str| {
        pod.pointer(member)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    of("/status/initContainerStatuses").chain(of("/status/containerStatuses"))
}

/// The newest warning of events, as a text.
pub(super) fn last_warning(events: &[&Value]) -> Option<String> {
    let at = |event: &Value| -> String {
        let times = [
            "/series/lastObservedTime",
            "/lastTimestamp",
            "/eventTime",
            "/metadata/creationTimestamp",
        ];
        let found = times
            .iter()
            .map(|pointer| text(event, pointer))
            .find(|time| !time.is_empty());
        found.unwrap_or_default().to_owned()
    };
    let warnings = events.iter().filter(|event| text(event, "/type") == "Warning");
    let last = warnings.max_by_key(|event| at(event))?;
    Some(format!(
        "event {} of {} {}: {}",
        text(last, "/reason"),
        text(last, "/involvedObject/kind"),
        text(last, "/involvedObject/name"),
        text(last, "/message").trim()
    ))
}

/// What is looked for among classes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// The kind, and the flag that names one.
    pub kind: &'static str,
    pub flag: &'static str,
    /// Where a class names its driver.
    pub driver_at: &'static str,
    /// Where it says what becomes of what it makes, and its default.
    pub deletes_at: &'static str,
    pub default_mark: &'static str,
    /// The driver.
    pub driver: &'a str,
    /// The class that the user names; may be empty.
    pub named: &'a str,
}

impl<'a> Wanted<'a> {
    pub(super) fn storage(driver: &'a str, named: &'a str) -> Self {
        Self {
            kind: "StorageClass",
            flag: "--storage-class",
            driver_at: "/provisioner",
            deletes_at: "/reclaimPolicy",
            default_mark: "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
            driver,
            named,
        }
    }

    pub(super) fn snapshots(driver: &'a str, named: &'a str) -> Self {
        Self {
            kind: "VolumeSnapshotClass",
            flag: "--snapshot-class",
            driver_at: "/driver",
            deletes_at: "/deletionPolicy",
            default_mark: "/metadata/annotations/snapshot.storage.kubernetes.io~1is-default-class",
            driver,
            named,
        }
    }

    /// The class that is named, else the default one of the driver, else its only one.
    ///
    /// # Errors
    /// What to do instead.
    pub(super) fn among<'b>(self, classes: &[&'b Value]) -> Result<&'b Value, String> {
        let Self {
            kind, flag, driver, ..
        } = self;
        let chosen = match self.named {
            "" => self.chosen(classes)?,
            named => {
                let found = classes.iter().copied().find(|class| name(class) == named);
                let found = found.ok_or_else(|| format!("{flag}={named}: there is no such {kind}"))?;
                let other = text(found, self.driver_at);
                if other != driver {
                    return Err(format!(
                        "{flag}={named}: it is of the driver {other}, not of {driver}: name another one, or --driver={other}"
                    ));
                }
                found
            }
        };
        if text(chosen, self.deletes_at) == "Retain" {
            return Err(format!(
                "{kind} {}: what it makes would stay in EC2 (Retain): name one with the policy Delete in {flag}",
                name(chosen)
            ));
        }
        Ok(chosen)
    }

    fn chosen<'b>(self, classes: &[&'b Value]) -> Result<&'b Value, String> {
        let Self {
            kind, flag, driver, ..
        } = self;
        let is_its = |class: &&Value| text(class, self.driver_at) == driver;
        let all: Vec<&'b Value> = classes.iter().copied().filter(is_its).collect();
        let defaults = all
            .iter()
            .copied()
            .filter(|class| text(class, self.default_mark) == "true");
        // Kubernetes takes the newest.
        if let Some(default) = defaults.max_by_key(|class| text(class, "/metadata/creationTimestamp")) {
            return Ok(default);
        }
        match all[..] {
            [only] => Ok(only),
            [] => Err(format!(
                "there is no {kind} of {driver}: make one (deploy/ebs/classes has one to begin with), or name one in {flag}"
            )),
            _ => {
                let names: Vec<&str> = all.iter().map(|class| name(class)).collect();
                Err(format!(
                    "none of the classes {} of {driver} is the default: name one in {flag}",
                    names.join(", ")
                ))
            }
        }
    }
}

/// The name of an object.
pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_say_what_they_wait_for_and_how_they_failed() {
        let waits = |text: &str| Stage::Waits(text.to_owned());
        let unscheduled = json!({ "status": { "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "message": "0/3 nodes are available" },
        ] } });
        let pulling = json!({ "status": { "phase": "Pending", "initContainerStatuses": [
            { "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } } },
            { "state": { "waiting": { "reason": "PodInitializing" } } },
        ] } });
        let failed = json!({ "status": { "phase": "Failed", "containerStatuses": [
            { "state": { "terminated": { "exitCode": 1, "message": "error: byte 7 is not what was written\n" } } },
        ] } });
        let evicted = json!({ "status": { "phase": "Failed", "reason": "Evicted", "message": "The node was low on memory" } });
        for (pod, runs_at, succeeds_at) in [
            (
                json!({}),
                waits("it is not looked at yet"),
                waits("it is not looked at yet"),
            ),
            (
                unscheduled,
                waits("it is Pending; 0/3 nodes are available"),
                waits("it is Pending; 0/3 nodes are available"),
            ),
            (
                pulling,
                waits("it is Pending; ImagePullBackOff: no such image"),
                waits("it is Pending; ImagePullBackOff: no such image"),
            ),
            (
                json!({ "status": { "phase": "Running" } }),
                Stage::Done,
                waits("it runs"),
            ),
            (
                failed,
                Stage::Failed("error: byte 7 is not what was written".to_owned()),
                Stage::Failed("error: byte 7 is not what was written".to_owned()),
            ),
            (
                evicted,
                Stage::Failed("The node was low on memory".to_owned()),
                Stage::Failed("The node was low on memory".to_owned()),
            ),
        ] {
            assert_eq!(runs(Some(&pod)), runs_at, "{pod}");
            assert_eq!(succeeded(Some(&pod)), succeeds_at, "{pod}");
        }
        let done = json!({ "status": { "phase": "Succeeded" } });
        assert_eq!(succeeded(Some(&done)), Stage::Done);
        assert_eq!(runs(None), waits("it is not there"));
    }

    #[test]
    fn snapshots_and_claims_say_how_far_they_are() {
        for (status, stage) in [
            (json!({ "readyToUse": true }), None),
            (json!({ "readyToUse": false }), Some("it is not taken yet")),
            (
                json!({ "readyToUse": false, "creationTime": "2026-01-01T00:00:00Z" }),
                Some("it is taken, and EC2 copies it"),
            ),
            (
                json!({ "error": { "message": "denied" } }),
                Some("status.error: denied"),
            ),
        ] {
            let stage = stage.map_or(Stage::Done, Stage::waits);
            assert_eq!(is_ready(Some(&json!({ "status": status }))), stage);
        }
        let silent = is_ready(Some(&json!({})));
        assert!(
            matches!(&silent, Stage::Waits(text) if text.contains("no snapshot-controller")),
            "{silent:?}"
        );

        let claim = |stage: &str, size: &str| {
            let mut claim = json!({ "status": {
                "capacity": { "storage": size }, "conditions": [{ "type": "Resizing", "message": "" }, { "type": "NodeResizeError", "message": "why" }, { "type": "Unused", "message": "no" }],
            } });
            if !stage.is_empty() {
                claim["status"]["allocatedResourceStatuses"] = json!({ "storage": stage });
            }
            claim
        };
        for (stage, size, expected) in [
            ("", "1Gi", Stage::waits("not begun; NodeResizeError: why")),
            (
                "NodeResizePending",
                "2Gi",
                Stage::waits("NodeResizePending; NodeResizeError: why"),
            ),
            ("", "2Gi", Stage::Done),
            (
                "ControllerResizeInfeasible",
                "1Gi",
                Stage::Failed("ControllerResizeInfeasible; NodeResizeError: why".to_owned()),
            ),
        ] {
            assert_eq!(has_grown(Some(&claim(stage, size)), "2Gi"), expected);
        }
    }

    #[test]
    fn the_last_warning_is_the_one_that_is_told() {
        let event = |kind: &str, reason: &str, at: &str| {
            json!({
                "type": kind, "reason": reason, "message": "why", "lastTimestamp": at,
                "involvedObject": { "kind": "Pod", "name": "p" },
            })
        };
        let events = [
            event("Warning", "Newer", "2026-01-01T00:00:02Z"),
            event("Warning", "Older", "2026-01-01T00:00:01Z"),
            event("Normal", "Newest", "2026-01-01T00:00:03Z"),
        ];
        let told = last_warning(&events.iter().collect::<Vec<_>>());
        assert_eq!(told.as_deref(), Some("event Newer of Pod p: why"));
        assert_eq!(last_warning(&[&events[2]]), None);
    }

    fn class(name: &str, driver: &str, is_default: bool, policy: &str, made: &str) -> Value {
        json!({
            "metadata": {
                "name": name, "creationTimestamp": made,
                "annotations": { "storageclass.kubernetes.io/is-default-class": is_default.to_string() },
            },
            "provisioner": driver, "reclaimPolicy": policy,
        })
    }

    #[test]
    fn the_class_is_the_named_one_the_default_or_the_only_one() {
        let classes = [
            class("old", "ebs", true, "Delete", "2026-01-01T00:00:00Z"),
            class("new", "ebs", true, "Delete", "2026-01-02T00:00:00Z"),
            class("other", "efs", true, "Delete", "2026-01-03T00:00:00Z"),
            class("kept", "ebs", false, "Retain", "2026-01-01T00:00:00Z"),
            class("alone", "nfs", false, "Delete", "2026-01-01T00:00:00Z"),
            class("one", "two", false, "Delete", "2026-01-01T00:00:00Z"),
            class("another", "two", false, "Delete", "2026-01-01T00:00:00Z"),
        ];
        let classes: Vec<&Value> = classes.iter().collect();
        for (driver, named, expected) in [
            ("ebs", "", Ok("new")),
            ("ebs", "old", Ok("old")),
            ("nfs", "", Ok("alone")),
            ("ebs", "kept", Err("would stay in EC2")),
            ("ebs", "other", Err("it is of the driver efs")),
            ("ebs", "none", Err("there is no such StorageClass")),
            ("cifs", "", Err("there is no StorageClass of cifs: make one")),
            ("two", "", Err("none of the classes one, another")),
        ] {
            let found = Wanted::storage(driver, named).among(&classes).map(name);
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(said), Err(says)) => assert!(said.contains(says), "{said}"),
                (found, _) => panic!("{driver} {named}: {found:?}"),
            }
        }
    }
}
