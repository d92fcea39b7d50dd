//! Plans carried out again and again, whatever is found at the beginning and whatever goes wrong: they come to rest, and
//! nothing outside is doubled, lost, or deleted that is kept. Snapshots and groups by the same rules.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;

use controller::patch::Change;
use controller::testing::objects::{self, finalizers};
use crds::group::v1::VolumeGroupSnapshotClass;
use csi::Class as ErrorClass;
use csi_snapshotter::observe::Reply;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::groups::{group, taken};
use super::*;
use super::{group_properties, properties};
use crate::build::{self, FINALIZER};
use crate::groups::{self, Group};

/// Rounds of one run, as in the frame.
const MOST_ROUNDS: usize = 12;
/// Runs of the whole after which everything has come to rest: three for the back-offs of what goes wrong, some polls, and
/// one each for what is cut off.
const MOST_RUNS: usize = 24;

/// A kind of contents.
trait Kind: AsContent + Clone + Debug {
    type Class: Class + Clone;

    fn read(object: &Value) -> Self;
    fn write(&self) -> Value;
    /// What the driver shows of what has this handle.
    fn shown(handle: &str, ready: bool) -> Snapshot;
    /// The handle that the driver gives.
    const HANDLE: &'static str;
    const FINALIZER: &'static str;
    const BEING_CREATED: &'static str;
    const BEING_DELETED: &'static str;
}

impl Kind for Content {
    type Class = VolumeSnapshotClass;
    const HANDLE: &'static str = "snap-1";
    const FINALIZER: &'static str = FINALIZER;
    const BEING_CREATED: &'static str = build::BEING_CREATED;
    const BEING_DELETED: &'static str = build::BEING_DELETED;

    fn read(object: &Value) -> Self {
        Self(serde_json::from_value(object.clone()).unwrap())
    }

    fn write(&self) -> Value {
        serde_json::to_value(&self.0).unwrap()
    }

    fn shown(handle: &str, ready: bool) -> Snapshot {
        Snapshot {
            handle: handle.into(),
            ..snapshot(ready)
        }
    }
}

impl Kind for Group {
    type Class = VolumeGroupSnapshotClass;
    const HANDLE: &'static str = "group-1";
    const FINALIZER: &'static str = groups::FINALIZER;
    const BEING_CREATED: &'static str = groups::BEING_CREATED;
    const BEING_DELETED: &'static str = groups::BEING_DELETED;

    fn read(object: &Value) -> Self {
        Self(serde_json::from_value(object.clone()).unwrap())
    }

    fn write(&self) -> Value {
        serde_json::to_value(&self.0).unwrap()
    }

    fn shown(handle: &str, ready: bool) -> Snapshot {
        Snapshot {
            handle: handle.into(),
            ..taken(ready)
        }
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// Refused for good, and nothing was done.
    Refused,
    /// Nothing was done, which nobody knows.
    Unheard,
    /// It was done, which nobody knows.
    Unanswered,
}

/// A driver: what it holds, by handle, and how it fares.
#[derive(Clone, Debug)]
struct Driver {
    held: BTreeSet<String>,
    fates: VecDeque<Fate>,
    polls_until_ready: u8,
    /// The names under which it was asked to make something.
    names: BTreeSet<String>,
}

/// A content in a cluster, its driver, and the frame between them.
#[derive(Clone, Debug)]
struct Stage<C: Kind> {
    given: Given<C, C::Class>,
    /// None once it is gone.
    object: Option<Value>,
    driver: Driver,
    behind: Behind,
    secret: SecretAnswer,
    version: u64,
}

/// How a run ended.
#[derive(Debug, PartialEq)]
enum Ended {
    Gone,
    Waits(Next),
    /// The process died.
    Died,
}

impl<C: Kind> Stage<C> {
    fn is_annotated(&self, key: &str) -> bool {
        let object = self.object.as_ref();
        object.is_some_and(|object| !object["metadata"]["annotations"][key].is_null())
    }

    fn content(&self) -> C {
        C::read(self.object.as_ref().unwrap())
    }

    /// One run, by a process that dies before the request after so many.
    fn run(&mut self, requests: usize) -> Ended {
        let (mut reply, mut secret) = (None, None);
        let mut left = requests;
        for _ in 0..MOST_ROUNDS {
            if self.object.is_none() {
                return Ended::Gone;
            }
            self.given.content = self.content();
            self.given.reply = reply.take();
            self.given.secret = secret.clone();
            let plan = self.given.whole();
            if let Some(memory) = plan.at_once {
                self.given.memory = memory;
            }
            for action in &plan.actions {
                match action {
                    Action::Event(_) => continue,
                    Action::ReadSecret(name) => {
                        secret = Some(SecretRead {
                            secret: name.clone(),
                            answer: self.secret.clone(),
                        });
                        continue;
                    }
                    Action::Step(step) => {
                        if left == 0 {
                            self.given.memory = Memory::default();
                            return Ended::Died;
                        }
                        left -= 1;
                        if let Some(answer) = self.take(step) {
                            reply = Some(answer);
                        }
                    }
                }
            }
            self.given.memory = plan.memory;
            if plan.next != Next::Again {
                self.pass(&plan.next);
                return Ended::Waits(plan.next);
            }
        }
        panic!("it does not settle within a run: {:#?}", self.object);
    }

    /// The time until the next run.
    fn pass(&mut self, next: &Next) {
        let wait = match next {
            Next::After(wait) => *wait,
            Next::Again | Next::Await | Next::Backoff(_) | Next::Held(_) => Duration::from_secs(120),
        };
        self.given.now = self.given.now.checked_add(wait).unwrap();
    }

    fn take(&mut self, step: &Step) -> Option<Reply> {
        match step {
            Step::Call(call) => Some(self.call(call)),
            Step::ReadAsker { .. } => Some(Reply::Behind(self.behind.clone())),
            _ => {
                let (_, change) = csi_snapshotter::patch::of(self.content().as_content(), step).unwrap();
                self.patch(&change);
                None
            }
        }
    }

    fn patch(&mut self, change: &Change) {
        self.version += 1;
        let object = self.object.as_mut().unwrap();
        let version = self.version.to_string();
        objects::change(object, change, &version).unwrap_or_else(|_| panic!("{change:?} of {object:#}"));
        if objects::is_gone(object) {
            self.object = None;
        }
    }

    fn call(&mut self, call: &Call) -> Reply {
        let fate = self.fate(call);
        let outcome = match fate {
            Fate::Answered => Ok(()),
            Fate::Refused => Err(failure(ErrorClass::Final, "rpc error: code = Internal desc = no")),
            Fate::Unheard | Fate::Unanswered => Err(failure(
                ErrorClass::InProgress,
                "rpc error: code = Unavailable desc = late",
            )),
        };
        let is_done = matches!(fate, Fate::Answered | Fate::Unanswered);
        match call {
            Call::Create { name, .. } | Call::CreateGroup { name, .. } => {
                self.may_create();
                self.driver.names.insert(name.clone());
                if is_done {
                    self.driver.held.insert(C::HANDLE.into());
                }
                Reply::Created(outcome.map(|()| self.shown(C::HANDLE)))
            }
            Call::List {
                snapshot_handle: handle,
            }
            | Call::GetGroup {
                group_handle: handle, ..
            } => {
                let held = self.driver.held.contains(handle);
                let shown = held.then(|| self.shown(handle));
                Reply::Listed(outcome.map(|()| shown.into_iter().collect()))
            }
            Call::Delete {
                snapshot_handle: handle,
            }
            | Call::DeleteGroup {
                group_handle: handle, ..
            } => {
                self.may_delete();
                if is_done {
                    self.driver.held.remove(handle);
                }
                Reply::Deleted {
                    handle: handle.clone(),
                    outcome,
                }
            }
        }
    }

    /// A driver may not refuse for good what exists: then nobody would know of it.
    fn fate(&mut self, call: &Call) -> Fate {
        let makes = matches!(call, Call::Create { .. } | Call::CreateGroup { .. });
        let exists = makes && self.driver.held.contains(C::HANDLE);
        match self.driver.fates.pop_front() {
            Some(Fate::Refused) if exists => Fate::Unheard,
            fate => fate.unwrap_or(Fate::Answered),
        }
    }

    fn shown(&mut self, handle: &str) -> Snapshot {
        let ready = self.driver.polls_until_ready == 0;
        self.driver.polls_until_ready = self.driver.polls_until_ready.saturating_sub(1);
        C::shown(handle, ready)
    }

    /// What must be in the cluster before anything is made outside.
    fn may_create(&self) {
        let content = self.content();
        let stored = content.as_content().stored_handle().is_some();
        assert!(
            stored || self.is_annotated(C::BEING_CREATED),
            "made without a trace: {content:?}"
        );
        assert!(
            !content.as_content().is_group_member(),
            "a group makes its members: {content:?}"
        );
    }

    /// What must be so before anything is deleted outside.
    fn may_delete(&self) {
        let content = self.content();
        let content = content.as_content();
        assert!(
            content.deletes() && content.is_terminating(),
            "it is kept: {content:?}"
        );
        assert!(!self.is_used(), "a living snapshot uses it: {content:?}");
        let alone = content.source_handle().is_some();
        assert!(content.is_being_deleted() || alone, "nobody said so: {content:?}");
    }

    /// A living VolumeSnapshot or VolumeGroupSnapshot is bound to a pre-provisioned content, as far as we are shown.
    fn is_used(&self) -> bool {
        let content = self.content();
        let content = content.as_content();
        let uid = content.asker_uid();
        content.source_handle().is_some()
            && matches!(&self.behind, Behind::Found { uid: found, content: Some(bound), is_going: false }
                if bound == content.name() && (uid.is_empty() || uid == found))
    }

    /// Everything that may change what comes next, besides the time.
    fn state(&self) -> (Option<Value>, Driver) {
        let mut object = self.object.clone();
        if let Some(object) = &mut object {
            // The next error is told with another time.
            object["status"]["error"] = json!(object["status"]["error"].is_object());
            object["metadata"]["resourceVersion"] = Value::Null;
        }
        (object, self.driver.clone())
    }

    /// Processes that die, then one that lives; the state in the end. A state that no run changes is one of rest.
    fn settle(&mut self, cuts: &[usize]) {
        for cut in cuts {
            self.run(*cut);
        }
        for _ in 0..MOST_RUNS {
            self.run(usize::MAX);
        }
        let before = self.state();
        for _ in 0..3 {
            self.run(usize::MAX);
        }
        let after = self.state();
        assert_eq!(
            (&before.0, &before.1.held),
            (&after.0, &after.1.held),
            "it never comes to rest"
        );
        assert!(
            self.driver.names.len() <= 1,
            "one content has one name: {:?}",
            self.driver.names
        );
    }

    /// The user deletes it, and the snapshot-controller marks it, since nothing is bound to it any longer.
    fn delete(&mut self) {
        self.behind = Behind::Nothing;
        let object = self.object.as_mut().unwrap();
        object["metadata"]["deletionTimestamp"] = json!(now());
        object["metadata"]["annotations"][C::BEING_DELETED] = json!("yes");
        if objects::is_gone(object) {
            self.object = None;
        }
    }
}

fn fates() -> impl Strategy<Value = VecDeque<Fate>> {
    let one = prop_oneof![
        2 => Just(Fate::Answered),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Unheard),
        1 => Just(Fate::Unanswered),
    ];
    vec(one, 0..5).prop_map(VecDeque::from)
}

fn stages<C: Kind + 'static>(
    contents: impl Strategy<Value = C>,
    given: fn(C) -> Given<C, C::Class>,
) -> impl Strategy<Value = Stage<C>> {
    let secret = prop_oneof![
        Just(SecretAnswer::NotFound),
        Just(SecretAnswer::Found(BTreeMap::new())),
    ];
    (
        contents,
        any::<[bool; 3]>(),
        fates(),
        0..3_u8,
        properties::behind(),
        secret,
    )
        .prop_map(
            move |(content, [has_class, can_look, was_heard], fates, polls, behind, secret)| {
                let mut given = given(content.clone());
                given.class = given.class.filter(|_| has_class);
                given.settings.can_look = can_look;
                let seen = content.as_content();
                let known = seen.stored_handle().or(seen.source_handle());
                let known = known.filter(|handle| !handle.trim().is_empty());
                let mut held: BTreeSet<String> = known.map(str::to_owned).into_iter().collect();
                if was_heard && seen.call_may_run() {
                    held.insert(C::HANDLE.into());
                }
                let mut object = content.write();
                if objects::is_gone(&object) {
                    object["metadata"]["finalizers"] = json!(["theirs.example.com/keep"]);
                }
                Stage {
                    object: Some(object),
                    given,
                    driver: Driver {
                        held,
                        fates,
                        polls_until_ready: polls,
                        names: BTreeSet::new(),
                    },
                    behind,
                    secret,
                    version: 100,
                }
            },
        )
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(0..4_usize, 0..4)
}

/// From any state to rest: what is kept is kept, what is ready is whole, and what is left has a reason.
fn comes_to_rest<C: Kind>(mut stage: Stage<C>, cuts: &[usize]) -> Result<(), TestCaseError> {
    let (began, first) = (stage.driver.held.clone(), stage.content());
    let first = first.as_content();
    // A refusal ends the mark, and without a mark nothing is made where no snapshot stands behind.
    let mark_stays = stage.behind == Behind::Hidden || !stage.driver.fates.contains(&Fate::Refused);
    stage.settle(cuts);
    let held = &stage.driver.held;
    if !first.deletes() {
        prop_assert!(
            held.is_superset(&began),
            "Retain keeps {:?}, left is {:?}",
            began,
            held
        );
    }
    let Some(object) = &stage.object else {
        let is_member = first.is_group_member() || first.group_handle().is_some();
        if first.deletes() && first.volumes().is_some() && !is_member {
            prop_assert!(held.is_empty(), "left behind: {:?}", held);
        }
        return Ok(());
    };
    let content = stage.content();
    let content = content.as_content();
    if content.is_ready() {
        prop_assert!(
            !content.call_may_run() || content.stored_handle().is_none(),
            "marked: {:#}",
            object
        );
    }
    let blank = |handle: &String| handle.trim().is_empty();
    let volumes = content.volumes().unwrap_or_default();
    let is_sound = !volumes.is_empty() && !volumes.iter().any(blank) && stage.given.class.is_some();
    let is_wanted = first.stored_handle().is_some()
        || first.is_being_created() && mark_stays
        || first.annotation(build::FRESH).is_some();
    let has_secret = !matches!(stage.secret, SecretAnswer::NotFound);
    let living = !content.is_terminating() && !content.is_group_member();
    if living && is_sound && is_wanted && has_secret {
        prop_assert!(content.is_ready(), "not ready: {:#}", object);
        prop_assert!(
            object["status"]["error"].is_null(),
            "ready with an error: {:#}",
            object
        );
    }
    Ok(())
}

/// From any state there is a way to delete the content, and what belongs to it goes or is kept as it says.
fn can_be_deleted<C: Kind>(mut stage: Stage<C>, cuts: &[usize]) -> Result<(), TestCaseError> {
    let first = stage.content();
    let first = first.as_content();
    stage.given.members = vec!["snap-1".into(), "snap-2".into()];
    stage.delete();
    stage.settle(cuts);
    let Some(object) = &stage.object else {
        let is_member = first.is_group_member() && first.volumes().is_some();
        // Without our finalizer the object is gone before we see it.
        let was_held = first.finalizer_position().is_some();
        if first.deletes() && was_held && !is_member && first.group_handle().is_none() {
            prop_assert!(
                stage.driver.held.is_empty(),
                "left behind: {:?}",
                stage.driver.held
            );
        }
        return Ok(());
    };
    let ours = finalizers(object).iter().any(|one| one == C::FINALIZER);
    prop_assert!(!ours, "cannot be deleted: {:#}", object);
    Ok(())
}

fn snapshots() -> impl Strategy<Value = Stage<Content>> {
    stages(properties::contents(), given)
}

fn groups_of_snapshots() -> impl Strategy<Value = Stage<Group>> {
    stages(group_properties::contents(), group)
}

proptest! {
    // A failure prints its input; it becomes a row of a table.
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_comes_to_rest_from_any_state(stage in snapshots(), cuts in cuts()) {
        comes_to_rest(stage, &cuts)?;
    }

    #[test]
    fn a_group_comes_to_rest_from_any_state(stage in groups_of_snapshots(), cuts in cuts()) {
        comes_to_rest(stage, &cuts)?;
    }

    #[test]
    fn a_snapshot_can_be_deleted_from_any_state(stage in snapshots(), cuts in cuts()) {
        can_be_deleted(stage, &cuts)?;
    }

    #[test]
    fn a_group_can_be_deleted_from_any_state(stage in groups_of_snapshots(), cuts in cuts()) {
        can_be_deleted(stage, &cuts)?;
    }
}
