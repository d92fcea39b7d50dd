//! Plans, row by row. Expected steps are written out.

mod create;
mod delete;
mod group_properties;
mod groups;
mod incapable;
mod members;
mod properties;
mod settling;
mod statically;

use std::collections::BTreeMap;
use std::time::Duration;

use controller::{Action, CallFailure, Event, Next, SecretAnswer, SecretRead};
use crds::v1::VolumeSnapshotClass;
use csi::Class as ErrorClass;
use csi_snapshotter::content::Class;
use csi_snapshotter::events::WAITING;
use csi_snapshotter::observe::{Behind, ClassLookup, Memory, Observed, Reply, Settings, Snapshot};
use csi_snapshotter::plan::status::Answer;
use csi_snapshotter::plan::{Call, StatusChange, Step, plan};
use jiff::Timestamp;
use runtime::EventType;
use runtime::objects::SecretName;
use tonic::Code;

use crate::build::{AsContent, Content, DRIVER, class};

/// 2026-01-01T00:10:00Z.
pub fn now() -> Timestamp {
    "2026-01-01T00:10:00Z".parse().unwrap()
}

/// What a plan is made of, with the usual things in place.
#[derive(Clone, Debug)]
pub struct Given<C = Content, K = VolumeSnapshotClass> {
    pub content: C,
    pub class: Option<K>,
    pub members: Vec<String>,
    pub is_live: bool,
    pub secret: Option<SecretRead>,
    pub reply: Option<Reply>,
    pub memory: Memory,
    pub settings: Settings,
    pub now: Timestamp,
}

pub fn given(content: Content) -> Given {
    given_with(content, class(&[("type", "fast")]), "snapshot")
}

/// The same for any kind.
pub fn given_with<C, K>(content: C, class: K, prefix: &str) -> Given<C, K> {
    Given {
        content,
        class: Some(class),
        members: Vec::new(),
        is_live: true,
        secret: None,
        reply: None,
        memory: Memory::default(),
        settings: Settings {
            driver: DRIVER.into(),
            can_take: true,
            can_look: true,
            name_prefix: prefix.into(),
            name_uid_length: None,
            extra_create_metadata: false,
            retry_interval_max: Duration::from_secs(300),
        },
        now: now(),
    }
}

/// A plan, with what it does apart.
#[derive(Debug)]
pub struct Planned {
    pub steps: Vec<Step>,
    pub reads: Vec<SecretName>,
    pub events: Vec<Event>,
    pub memory: Memory,
    pub next: Next,
}

impl<C: AsContent, K: Class> Given<C, K> {
    pub fn plan(&self) -> Planned {
        let (mut steps, mut reads, mut events) = (Vec::new(), Vec::new(), Vec::new());
        let plan = self.whole();
        for action in plan.actions {
            match action {
                Action::Step(step) => steps.push(step),
                Action::ReadSecret(secret) => reads.push(secret),
                Action::Event(event) => events.push(event),
            }
        }
        let is_ours = |event: &Event| event.kind == EventType::Warning || event.reason == WAITING;
        assert!(
            events.iter().all(is_ours),
            "good news is the controller's: {events:?}"
        );
        Planned {
            steps,
            reads,
            events,
            memory: plan.memory,
            next: plan.next,
        }
    }

    fn whole(&self) -> csi_snapshotter::plan::Plan {
        let content = self.content.as_content();
        let class = match (content.class_name(), &self.class) {
            (None, _) => ClassLookup::NotNamed,
            (Some(_), Some(class)) => ClassLookup::Found(class),
            (Some(name), None) => ClassLookup::Absent(name),
        };
        plan(
            &Observed {
                content,
                class,
                members: &self.members,
                is_live: self.is_live,
                secret: self.secret.as_ref(),
                reply: self.reply.as_ref(),
                memory: &self.memory,
                settings: &self.settings,
            },
            self.now,
        )
    }

    pub fn class(self, class: Option<K>) -> Self {
        Self { class, ..self }
    }

    pub fn reply(self, reply: Reply) -> Self {
        Self {
            reply: Some(reply),
            ..self
        }
    }

    pub fn secret(self, answer: SecretAnswer) -> Self {
        let read = SecretRead {
            secret: secret_ref(),
            answer,
        };
        Self {
            secret: Some(read),
            ..self
        }
    }
}

/// `sns/sec`.
pub fn secret_ref() -> SecretName {
    SecretName {
        namespace: "sns".into(),
        name: "sec".into(),
    }
}

/// The call that takes the snapshot of [`crate::build::dynamic`].
pub fn create() -> Step {
    create_with(&[("type", "fast")])
}

pub fn create_with(parameters: &[(&str, &str)]) -> Step {
    let parameters = parameters
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    Step::Call(Call::Create {
        volume_handle: "vol".into(),
        name: "snapshot-u".into(),
        parameters: parameters.collect::<BTreeMap<_, _>>(),
    })
}

pub fn list(handle: &str) -> Step {
    Step::Call(Call::List {
        snapshot_handle: handle.into(),
    })
}

pub fn delete(handle: &str) -> Step {
    Step::Call(Call::Delete {
        snapshot_handle: handle.into(),
    })
}

pub fn answer(answer: Answer) -> Step {
    Step::Status(StatusChange::Answer(answer))
}

pub fn failed(message: &str, not_ready: bool) -> Step {
    Step::Status(StatusChange::Failed {
        message: message.into(),
        time: now(),
        not_ready,
    })
}

/// `snap-1` of 5 GiB, taken at second 100.
pub fn snapshot(ready: bool) -> Snapshot {
    Snapshot {
        handle: "snap-1".into(),
        creation_time: Some(Timestamp::from_second(100).unwrap()),
        size_bytes: 5 << 30,
        ready,
        group_handle: String::new(),
        volume_handle: "vol".into(),
        members: Vec::new(),
    }
}

pub fn failure(class: ErrorClass, text: &str) -> CallFailure {
    let code = if text.contains("NotFound") {
        Code::NotFound
    } else {
        Code::Internal
    };
    CallFailure {
        class,
        code: Some(code),
        text: text.into(),
        retry_after: None,
    }
}

/// The read of the VolumeSnapshot that the content names.
pub fn read_snapshot() -> Step {
    Step::ReadAsker {
        namespace: "ns".into(),
        name: "s".into(),
    }
}

/// The VolumeSnapshot with this UID, bound to a content of this name.
pub fn found(uid: &str, content: Option<&str>) -> Reply {
    Reply::Behind(Behind::Found {
        uid: uid.into(),
        content: content.map(str::to_owned),
        is_going: false,
    })
}

pub fn seconds(seconds: u64) -> Next {
    Next::After(Duration::from_secs(seconds))
}

/// Reason and message of the only event.
#[track_caller]
pub fn event(plan: &Planned) -> (&str, &str) {
    assert_eq!(plan.events.len(), 1, "{:?}", plan.events);
    (plan.events[0].reason, &plan.events[0].message)
}
