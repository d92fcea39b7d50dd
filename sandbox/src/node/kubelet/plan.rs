//! What is done next for a volume: a pure function of what is wanted and what is mounted.

use std::collections::BTreeMap;

use crate::actors::worker::Patience;
use crate::kube::validation::quantity::Quantity;

/// Whether something was done that must be undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Progress {
    #[default]
    No,
    /// It was tried and may have worked.
    Maybe,
    Yes,
}

/// A volume on the node.
#[derive(Clone, Debug, Default)]
pub(super) struct Mounted {
    pub(super) driver: String,
    pub(super) handle: String,
    pub(super) block: bool,
    pub(super) staged: Progress,
    /// By UID of the pod.
    pub(super) pods: BTreeMap<String, PodMount>,
    /// The size that the node is known to have given it.
    pub(super) size: Option<Quantity>,
    /// The driver refused to expand it while it is in use here.
    pub(super) refused: bool,
    pub(super) patience: Patience,
}

/// A volume in a pod.
#[derive(Clone, Debug, Default)]
pub(super) struct PodMount {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) target: String,
    pub(super) read_only: bool,
    pub(super) published: Progress,
    /// The pod may run.
    pub(super) ready: bool,
}

/// A pod of this node that wants the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) uid: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) read_only: bool,
}

/// What the plan is made of.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// In the order of their names.
    pub(super) wanted: Vec<Wanted>,
    pub(super) mounted: Option<Mounted>,
    /// The volume needs no attaching, or is attached.
    pub(super) attached: bool,
    /// The volume is no CSI volume: there is nothing to mount.
    pub(super) foreign: bool,
    /// The driver stages volumes.
    pub(super) stages: bool,
    /// The size that the PersistentVolume says.
    pub(super) desired: Option<Quantity>,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// Say on the node that the volume is in use, and remember it.
    Begin,
    /// Say that it is in use no more.
    End,
    WaitForAttachment,
    Stage,
    Unstage,
    Publish(Wanted),
    Unpublish(String),
    /// Look whether it is to be expanded, before the pod of this UID runs.
    Expand(String),
    /// Let the pod of this UID run.
    Ready(String),
}

/// What comes next. Taking back goes before doing.
pub(super) fn plan(observed: &Observed) -> Step {
    let Some(mounted) = &observed.mounted else {
        return if observed.wanted.is_empty() {
            Step::Nothing
        } else {
            Step::Begin
        };
    };
    let is_wanted = |uid: &String| observed.wanted.iter().any(|pod| pod.uid == *uid);
    if let Some(uid) = mounted.pods.keys().find(|uid| !is_wanted(uid)) {
        return Step::Unpublish(uid.clone());
    }
    if observed.wanted.is_empty() {
        return if mounted.staged == Progress::No {
            Step::End
        } else {
            Step::Unstage
        };
    }
    if !observed.attached {
        return Step::WaitForAttachment;
    }
    if observed.stages && mounted.staged != Progress::Yes {
        return Step::Stage;
    }
    let mount = |pod: &Wanted| mounted.pods.get(&pod.uid);
    let published = |pod: &Wanted| mount(pod).is_some_and(|mount| mount.published == Progress::Yes);
    if let Some(pod) = observed.wanted.iter().find(|pod| !published(pod)) {
        return Step::Publish(pod.clone());
    }
    let ready = |pod: &&Wanted| mount(pod).is_some_and(|mount| mount.ready);
    let grows = !observed.foreign && observed.desired > mounted.size && !mounted.refused;
    let next = observed.wanted.iter().find(|pod| !ready(pod));
    match (next, grows) {
        (Some(pod), false) => Step::Ready(pod.uid.clone()),
        (Some(pod), true) => Step::Expand(pod.uid.clone()),
        (None, true) => observed
            .wanted
            .first()
            .map_or(Step::Nothing, |pod| Step::Expand(pod.uid.clone())),
        (None, false) => Step::Nothing,
    }
}
