//! The conditions of a claim. Foreign ones are kept as they are; times move only when a condition comes.
//! Source: resize.md sections 2 and 6.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaimCondition as Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use runtime::objects::Claim;

/// An expansion was begun.
pub const RESIZING: &str = "Resizing";
/// The node has work to do.
pub const FILE_SYSTEM_RESIZE_PENDING: &str = "FileSystemResizePending";
/// The driver refused.
pub const CONTROLLER_RESIZE_ERROR: &str = "ControllerResizeError";
/// Kubelet failed.
pub const NODE_RESIZE_ERROR: &str = "NodeResizeError";
/// A change by an attributes class was begun.
pub const MODIFYING_VOLUME: &str = "ModifyingVolume";
/// The driver refused it; the reason is the name of the gRPC code.
pub const MODIFY_VOLUME_ERROR: &str = "ModifyVolumeError";
/// Kept by the control plane: whether any pod uses the claim.
pub const UNUSED: &str = "Unused";

/// Matched by operators `[K]`.
const WAITING: &str = "Waiting for user to (re-)start a pod to finish file system resize of volume on node.";

/// The four conditions of an expansion.
const OF_RESIZE: [&str; 4] = [
    RESIZING,
    FILE_SYSTEM_RESIZE_PENDING,
    CONTROLLER_RESIZE_ERROR,
    NODE_RESIZE_ERROR,
];

/// Whether the condition is there and True.
#[must_use]
pub fn has(claim: &Claim, kind: &str) -> bool {
    find(claim, kind).is_some_and(|condition| condition.status == "True")
}

/// The condition of this type.
#[must_use]
pub fn find<'a>(claim: &'a Claim, kind: &str) -> Option<&'a Condition> {
    claim.conditions.iter().find(|condition| condition.type_ == kind)
}

/// A list of conditions in the making.
pub(super) struct Conditions {
    list: Vec<Condition>,
    now: Timestamp,
}

impl Conditions {
    pub(super) fn of(claim: &Claim, now: Timestamp) -> Self {
        Self::over(&claim.conditions, now)
    }

    /// On top of a list in the making.
    pub(super) fn over(list: &[Condition], now: Timestamp) -> Self {
        Self {
            list: list.to_vec(),
            // Whole seconds, as Kubernetes keeps times.
            now: Timestamp::from_second(now.as_second()).unwrap_or(now),
        }
    }

    /// Only `Resizing` of the four.
    pub(super) fn begun(self) -> Self {
        self.without(&[
            FILE_SYSTEM_RESIZE_PENDING,
            CONTROLLER_RESIZE_ERROR,
            NODE_RESIZE_ERROR,
        ])
        .resizing()
    }

    pub(super) fn resizing(self) -> Self {
        self.with(RESIZING, None, None)
    }

    pub(super) fn node_required(self) -> Self {
        self.without(&[CONTROLLER_RESIZE_ERROR]).with(
            FILE_SYSTEM_RESIZE_PENDING,
            None,
            Some(WAITING.to_owned()),
        )
    }

    pub(super) fn failed(self, message: String) -> Self {
        self.with(CONTROLLER_RESIZE_ERROR, None, Some(message))
    }

    pub(super) fn waiting(self) -> Self {
        self.without(&[CONTROLLER_RESIZE_ERROR])
    }

    pub(super) fn finished(self) -> Self {
        self.without(&OF_RESIZE)
    }

    /// Ended, with less than was asked for.
    pub(super) fn ended_short(self, message: String) -> Self {
        self.without(&[RESIZING, FILE_SYSTEM_RESIZE_PENDING, NODE_RESIZE_ERROR])
            .failed(message)
    }

    /// `FileSystemResizePending` alone, as without recovery.
    pub(super) fn only_node_required(self) -> Self {
        self.without(&[RESIZING, NODE_RESIZE_ERROR]).node_required()
    }

    /// A new class: what was said of another one goes.
    pub(super) fn modify_begun(self, message: String) -> Self {
        self.without(&[MODIFY_VOLUME_ERROR]).modifying(message)
    }

    pub(super) fn modifying(self, message: String) -> Self {
        self.with(MODIFYING_VOLUME, None, Some(message))
    }

    pub(super) fn modify_failed(self, reason: &str, message: String) -> Self {
        self.with(MODIFY_VOLUME_ERROR, Some(reason), Some(message))
    }

    pub(super) fn modify_ended(self) -> Self {
        self.without(&[MODIFYING_VOLUME, MODIFY_VOLUME_ERROR])
    }

    /// The list, where it differs from the claim's.
    pub(super) fn changed(self, claim: &Claim) -> Option<Vec<Condition>> {
        (self.list != *claim.conditions).then_some(self.list)
    }

    fn without(mut self, kinds: &[&str]) -> Self {
        self.list
            .retain(|condition| !kinds.contains(&condition.type_.as_str()));
        self
    }

    fn with(mut self, kind: &str, reason: Option<&str>, message: Option<String>) -> Self {
        let reason = reason.map(str::to_owned);
        let made = Condition {
            type_: kind.to_owned(),
            status: "True".to_owned(),
            last_transition_time: Some(Time(self.now)),
            reason,
            message,
            ..Condition::default()
        };
        let present = self.list.iter_mut().find(|condition| condition.type_ == kind);
        match present {
            Some(condition) if condition.status == "True" => {
                if made.reason.is_some() {
                    condition.reason = made.reason;
                }
                if made.message.is_some() {
                    condition.message = made.message;
                }
            }
            Some(condition) => *condition = made,
            None => self.list.push(made),
        }
        self
    }
}
