//! Groups of claims: from a selector to a bound content (spec snapshot 4.1).

use std::collections::BTreeMap;

use controller::{Action, Next, UNTIL_GROWN};
use crds::group::v1::{
    VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent,
    VolumeGroupSnapshotContentSource, VolumeGroupSnapshotContentSpec,
};
use crds::names::group as names;
use crds::names::{FRESH_ANNOTATION, MARK_VALUE, parameters};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::ResourceExt;

use super::super::class::only;
use super::super::create::{SecretOf, SourceVolume, volume_of};
use super::{
    Lookup, ObservedGroup, Plan, Refusal, SelectedClaim, Step, bind, may_be_created, read_again, refuse,
    selector, settled, status, then_again, then_await,
};
use crate::events::group::{
    self as events, CONTENT_CREATION_FAILED, CONTENT_MISSING, CREATE_CONTENT_FAILED, GET_CLASS_FAILED,
    SET_DEFAULT_CLASS_FAILED, VALIDATION_ERROR,
};

const GROUP_SECRET: SecretOf = SecretOf {
    name_key: parameters::GROUP_SECRET_NAME,
    namespace_key: parameters::GROUP_SECRET_NAMESPACE,
    content: "volumegroupsnapshotcontent.name",
    name: "volumegroupsnapshot.name",
    namespace: "volumegroupsnapshot.namespace",
};

/// Decides about a group of claims that is not being deleted.
///
/// Reads: content, class, claims, volumes. Sends: LIST pvc, PATCH vgs, POST vgsc, PATCH vgs/status; then what
/// [`bind::keep_up`] sends. Source: spec snapshot 4.1, Q30, Q32, Q37.
#[must_use]
pub fn plan(
    observed: &ObservedGroup,
    wanted: &LabelSelector,
    selected: Option<&[SelectedClaim]>,
    now: Timestamp,
) -> Plan {
    match &observed.content {
        Lookup::Found(content) => bind::keep_up(observed, content, now),
        Lookup::Unknown => then_again(vec![read_again(observed).into()]),
        Lookup::Absent | Lookup::NotReferenced if !may_be_created(&observed.group) => {
            refuse(observed, &content_missing(), now)
        }
        Lookup::Absent | Lookup::NotReferenced => match begin(observed, wanted, selected) {
            Ok(plan) => plan,
            Err(refusal) => refuse(observed, &refusal, now),
        },
    }
}

/// The content of a group is not there.
#[must_use]
pub fn content_missing() -> Refusal {
    Refusal::lowering(
        CONTENT_MISSING,
        "VolumeGroupSnapshotContent is missing".to_owned(),
    )
}

/// The refusal for a named class that does not exist, if that is so.
#[must_use]
pub fn class_missing(observed: &ObservedGroup) -> Option<Refusal> {
    let name = observed.group.spec.volume_group_snapshot_class_name.as_deref();
    matches!(observed.class, Lookup::Absent | Lookup::Unknown).then(|| {
        Refusal::keeping(
            GET_CLASS_FAILED,
            format!(
                "failed to get group snapshot class with error volumegroupsnapshotclass.groupsnapshot.storage.k8s.io \
                 {:?} not found",
                name.unwrap_or_default()
            ),
        )
    })
}

/// What can be told without the claims comes first: then the one LIST is sent, and its answer leads to the content.
fn begin(
    observed: &ObservedGroup,
    wanted: &LabelSelector,
    selected: Option<&[SelectedClaim]>,
) -> Result<Plan, Refusal> {
    let selector = selector::text(wanted).map_err(|error| Refusal::lowering(VALIDATION_ERROR, error))?;
    if let Some(refusal) = class_missing(observed) {
        return Err(refusal);
    }
    let Some(selected) = selected else {
        if !observed.is_live {
            // A refusal would be put off, and the claims listed again each time.
            return Ok(settled().then(Next::After(UNTIL_GROWN)));
        }
        let namespace = observed.group.namespace().unwrap_or_default();
        return Ok(then_again(vec![Step::ListClaims { namespace, selector }.into()]));
    };
    let failed = |reason: &'static str| {
        move |error: String| {
            Refusal::lowering(
                reason,
                format!("failed to create group snapshot content with error {error}"),
            )
        }
    };
    if selected.is_empty() {
        return Err(failed(CONTENT_CREATION_FAILED)(format!(
            "label selector {selector} for group snapshot not applied to any PVC"
        )));
    }
    let sources: Result<Vec<_>, String> = selected.iter().map(source).collect();
    let sources = sources.map_err(failed(CREATE_CONTENT_FAILED))?;
    let (class, is_default) = choose(observed, &sources)?;
    of_one_driver(class, &sources).map_err(failed(CREATE_CONTENT_FAILED))?;
    let content = content(&observed.group, class, &sources).map_err(failed(CONTENT_CREATION_FAILED))?;
    Ok(create(observed, is_default.then(|| class.name_any()), content))
}

fn source(selected: &SelectedClaim) -> Result<SourceVolume<'_>, String> {
    volume_of(&selected.claim, &selected.volume, "group snapshot")
}

/// The class of the group, and whether it is a default that is to be stored in the group.
fn choose<'a>(
    observed: &'a ObservedGroup,
    sources: &[SourceVolume<'_>],
) -> Result<(&'a VolumeGroupSnapshotClass, bool), Refusal> {
    if let Some(class) = observed.class.found() {
        return Ok((&**class, false));
    }
    let driver = sources.first().map(|source| source.csi.driver.as_str());
    let candidates = observed
        .default_classes
        .iter()
        .filter(|class| is_default(class) && Some(class.driver.as_str()) == driver);
    let class = only(candidates, "group snapshot").map_err(|error| {
        Refusal::keeping(
            SET_DEFAULT_CLASS_FAILED,
            format!("Failed to set default group snapshot class with error {error}"),
        )
    })?;
    Ok((&**class, true))
}

/// True for a class with the default annotation; only the exact value `true` counts.
#[must_use]
pub fn is_default(class: &VolumeGroupSnapshotClass) -> bool {
    class
        .annotations()
        .get(names::DEFAULT_CLASS_ANNOTATION)
        .is_some_and(|value| value == "true")
}

fn of_one_driver(class: &VolumeGroupSnapshotClass, sources: &[SourceVolume<'_>]) -> Result<(), String> {
    let Some(other) = sources.iter().find(|source| source.csi.driver != class.driver) else {
        return Ok(());
    };
    Err(format!(
        "Volume CSI driver ({}) mismatch with VolumeGroupSnapshotClass ({}) {}: {} of claim {}",
        other.csi.driver,
        class.driver,
        class.name_any(),
        other.volume.name_any(),
        other.claim.name_any()
    ))
}

fn content(
    group: &VolumeGroupSnapshot,
    class: &VolumeGroupSnapshotClass,
    sources: &[SourceVolume<'_>],
) -> Result<VolumeGroupSnapshotContent, String> {
    let name = names::dynamic_content_name(&group.uid().unwrap_or_default());
    let secret = GROUP_SECRET
        .resolve(&class.parameters, &name, &group.metadata)
        .map_err(|error| error.to_string())?;
    let mut annotations = BTreeMap::from([(FRESH_ANNOTATION.to_owned(), MARK_VALUE.to_owned())]);
    if let Some(secret) = secret {
        let (name, namespace) = (
            names::DELETION_SECRET_NAME_ANNOTATION,
            names::DELETION_SECRET_NAMESPACE_ANNOTATION,
        );
        annotations.extend([
            (name.to_owned(), secret.name),
            (namespace.to_owned(), secret.namespace),
        ]);
    }
    let mut handles: Vec<String> = Vec::new();
    for source in sources {
        // Two claims may share a volume, which is cut once.
        if !handles.contains(&source.csi.volume_handle) {
            handles.push(source.csi.volume_handle.clone());
        }
    }
    Ok(VolumeGroupSnapshotContent {
        metadata: ObjectMeta {
            annotations: Some(annotations),
            finalizers: Some(vec![names::CONTENT_FINALIZER.to_owned()]),
            name: Some(name),
            ..ObjectMeta::default()
        },
        spec: VolumeGroupSnapshotContentSpec {
            deletion_policy: class.deletion_policy,
            driver: class.driver.clone(),
            source: VolumeGroupSnapshotContentSource {
                volume_handles: Some(handles),
                group_snapshot_handles: None,
            },
            volume_group_snapshot_class_name: Some(class.name_any()),
            volume_group_snapshot_ref: ObjectReference {
                api_version: Some(format!("{}/v1", names::GROUP)),
                kind: Some("VolumeGroupSnapshot".to_owned()),
                name: group.metadata.name.clone(),
                namespace: group.metadata.namespace.clone(),
                resource_version: group.metadata.resource_version.clone(),
                uid: group.metadata.uid.clone(),
                ..ObjectReference::default()
            },
        },
        status: None,
    })
}

/// The finalizer first, then the content, then the status: each state in between is one that [`plan`] goes on from.
fn create(observed: &ObservedGroup, class_name: Option<String>, content: VolumeGroupSnapshotContent) -> Plan {
    let group = &observed.group;
    let mut actions: Vec<Action<Step>> = bind::own(group, class_name)
        .into_iter()
        .map(Action::from)
        .collect();
    let told = status::follow(group, &content);
    let announced = told.iter().any(|action| matches!(action, Action::Event(_)));
    actions.push(Step::CreateContent(Box::new(content)).into());
    actions.extend(told);
    if !announced {
        actions.push(Action::Event(events::creating(group)));
    }
    then_await(actions)
}
