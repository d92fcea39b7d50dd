//! Dynamic snapshots: from a claim to a bound content (spec snapshot 2.5).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use controller::template::{SecretTemplate, TemplateError, Tokens};
use controller::{Action, Next, UNTIL_GROWN, is_young};
use crds::names::{self, parameters};
use crds::v1::{
    DeletionPolicy, VolumeSnapshotContent, VolumeSnapshotContentSource, VolumeSnapshotContentSpec,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use runtime::migration;
use runtime::objects::{Claim, ClaimPhase, CsiSource, SecretName, Volume, VolumeMode};

use super::class::{self, Choice};
use super::refusal::{self, Refusal};
use super::topology::{self, TopologyError};
use super::{
    Lookup, Observed, Plan, Source, Step, bind, is_deleting, may_be_created, protect, status, then_again,
    then_await,
};
use crate::events::{self, SNAPSHOT_CONTENT_CREATION_FAILED, SNAPSHOT_CONTENT_MISSING};

/// Decides about a dynamic snapshot that is not being deleted.
///
/// Reads: content, class, claim, volume, nodes. Sends: PATCH vs, PATCH pvc, POST vsc, PATCH vs/status.
/// Source: spec snapshot 2.5, decisions 7, 12.
#[must_use]
pub fn plan(observed: &Observed, now: Timestamp) -> Plan {
    match &observed.content {
        Lookup::Found(content) => bind::keep_up(observed, content, now),
        Lookup::Unknown => then_again(vec![read_again(observed).into()]),
        Lookup::Absent | Lookup::NotReferenced if !may_be_created(&observed.snapshot) => {
            refusal::show(observed, content_missing(), now)
        }
        Lookup::Absent | Lookup::NotReferenced => match inputs(observed) {
            // The label is never added later, and the node may only not be known yet.
            Ok(inputs)
                if inputs.no_node.is_some() && (!observed.is_live || is_young(&*observed.snapshot, now)) =>
            {
                Plan::resting(()).then(Next::After(UNTIL_GROWN))
            }
            Ok(inputs) => create(observed, inputs),
            Err(refusal) => refusal::show(observed, refusal, now),
        },
    }
}

/// The read that tells what became of a POST.
#[must_use]
pub fn read_again(observed: &Observed) -> Step {
    Step::ReadContent {
        name: super::content_name(&observed.snapshot).unwrap_or_default(),
    }
}

/// The content of a snapshot is not there.
#[must_use]
pub fn content_missing() -> Refusal {
    Refusal::lowering(
        SNAPSHOT_CONTENT_MISSING,
        "VolumeSnapshotContent is missing".to_owned(),
    )
}

/// What a content is made from: everything about a dynamic snapshot that was found right.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs<'a> {
    /// The class.
    pub choice: Choice<'a>,
    /// The source claim.
    pub claim: &'a Claim,
    /// The content to be posted.
    pub content: VolumeSnapshotContent,
    /// Why no node is named that should be.
    pub no_node: Option<TopologyError>,
}

/// The claim and the CSI volume of a dynamic snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceVolume<'a> {
    /// The claim.
    pub claim: &'a Claim,
    /// Its volume.
    pub volume: &'a Volume,
    /// The volume as its driver knows it.
    pub csi: Cow<'a, CsiSource>,
}

/// Follows claim and volume to the CSI volume.
///
/// # Errors
/// A sentence about the first thing that is missing or wrong.
pub fn source(observed: &Observed) -> Result<SourceVolume<'_>, String> {
    let Some(claim) = observed.claim.found() else {
        let name = match Source::of(&observed.snapshot) {
            Source::Dynamic(name) => name,
            Source::PreProvisioned(_) | Source::Member | Source::Invalid => "",
        };
        return Err(format!(
            "the PersistentVolumeClaim {name:?} does not exist in namespace {:?}",
            observed.snapshot.namespace().unwrap_or_default()
        ));
    };
    volume_of(claim, &observed.volume, "snapshot")
}

/// Follows a claim to its CSI volume; `what` is to be taken of it.
///
/// # Errors
/// A sentence about the first thing that is missing or wrong.
pub(super) fn volume_of<'a>(
    claim: &'a Claim,
    volume: &'a Lookup<Arc<Volume>>,
    what: &str,
) -> Result<SourceVolume<'a>, String> {
    let Some(volume_name) = claim
        .volume_name
        .as_deref()
        .filter(|_| claim.phase == ClaimPhase::Bound)
    else {
        return Err(format!(
            "the PVC {} is not yet bound to a PV, will not attempt to take a {what}",
            claim.name_any()
        ));
    };
    let Some(volume) = volume.found() else {
        return Err(format!(
            "the PersistentVolume {volume_name:?} of claim {:?} does not exist",
            claim.name_any()
        ));
    };
    if !binds(volume, claim) {
        return Err(format!(
            "claim in dataSource not bound or invalid: PersistentVolume {} is not bound to claim {}",
            volume.name_any(),
            claim.name_any()
        ));
    }
    let csi = migration::source_of(volume).map_err(|error| {
        let name = volume.name_any();
        format!("cannot find CSI PersistentVolumeSource for volume {name}: {error}")
    })?;
    Ok(SourceVolume { claim, volume, csi })
}

fn binds(volume: &Volume, claim: &Claim) -> bool {
    volume.claim.as_ref().is_some_and(|reference| {
        let uid = reference.uid.as_deref().filter(|uid| !uid.is_empty());
        Some(&reference.namespace) == claim.metadata.namespace.as_ref()
            && Some(&reference.name) == claim.metadata.name.as_ref()
            && uid.is_none_or(|uid| Some(uid) == claim.metadata.uid.as_deref())
    })
}

/// Checks every input of a dynamic snapshot before anything is written (spec snapshot Q6, Q17).
///
/// # Errors
/// The first thing that is wrong, as the user is to read it.
pub fn inputs(observed: &Observed) -> Result<Inputs<'_>, Refusal> {
    let refuse = |error: String| {
        Refusal::lowering(
            SNAPSHOT_CONTENT_CREATION_FAILED,
            format!("Failed to create snapshot content with error {error}"),
        )
    };
    let choice = class::choose(observed)?;
    let class = choice.class();
    let source = source(observed).map_err(refuse)?;
    if class.driver != source.csi.driver {
        return Err(refuse(format!(
            "VolumeSnapshotClass {} is of driver {}, but the volume of claim {} is of driver {}",
            class.name_any(),
            class.driver,
            source.claim.name_any(),
            source.csi.driver
        )));
    }
    if is_deleting(source.claim) && !protect::is_protected(source.claim) {
        return Err(refuse(format!(
            "cannot add finalizer on claim {} because it is being deleted",
            source.claim.name_any()
        )));
    }
    // As upstream, no reason to refuse: a sidecar that works for all nodes needs no label.
    let (labels, no_node) = match managed_by(observed, &source) {
        Ok(labels) => (labels, None),
        Err(why) => (None, Some(why)),
    };
    let metadata = content_metadata(observed, &choice, labels).map_err(refuse)?;
    let spec = content_spec(observed, &choice, &source);
    Ok(Inputs {
        choice,
        claim: source.claim,
        content: VolumeSnapshotContent {
            metadata,
            spec,
            status: None,
        },
        no_node,
    })
}

fn content_metadata(
    observed: &Observed,
    choice: &Choice<'_>,
    labels: Option<BTreeMap<String, String>>,
) -> Result<ObjectMeta, String> {
    let snapshot = &observed.snapshot;
    let name = names::dynamic_content_name(&snapshot.uid().unwrap_or_default());
    let secret = SNAPSHOT_SECRET
        .resolve(&choice.class().parameters, &name, &snapshot.metadata)
        .map_err(|error| error.to_string())?;
    let mut annotations =
        BTreeMap::from([(names::FRESH_ANNOTATION.to_owned(), names::MARK_VALUE.to_owned())]);
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
    Ok(ObjectMeta {
        annotations: Some(annotations),
        labels,
        finalizers: Some(vec![names::CONTENT_FINALIZER.to_owned()]),
        name: Some(name),
        ..ObjectMeta::default()
    })
}

/// How a class names the Secret for creating and deleting, and what the templates may use (spec snapshot 3.6).
pub(super) struct SecretOf {
    pub(super) name_key: &'static str,
    pub(super) namespace_key: &'static str,
    /// Tokens for the names of content and snapshot, and for the snapshot's namespace.
    pub(super) content: &'static str,
    pub(super) name: &'static str,
    pub(super) namespace: &'static str,
}

const SNAPSHOT_SECRET: SecretOf = SecretOf {
    name_key: parameters::SECRET_NAME,
    namespace_key: parameters::SECRET_NAMESPACE,
    content: "volumesnapshotcontent.name",
    name: "volumesnapshot.name",
    namespace: "volumesnapshot.namespace",
};

impl SecretOf {
    pub(super) fn resolve(
        &self,
        parameters: &BTreeMap<String, String>,
        content: &str,
        snapshot: &ObjectMeta,
    ) -> Result<Option<SecretName>, TemplateError> {
        let namespace = snapshot.namespace.as_deref().unwrap_or_default();
        let for_namespace = Tokens::from([(self.content, content), (self.namespace, namespace)]);
        let mut for_name = for_namespace.clone();
        for_name.insert(self.name, snapshot.name.as_deref().unwrap_or_default());
        let template = SecretTemplate {
            name_key: self.name_key,
            namespace_key: self.namespace_key,
            for_name: &for_name,
            for_namespace: &for_namespace,
        };
        template.resolve(parameters)
    }
}

fn managed_by(
    observed: &Observed,
    source: &SourceVolume<'_>,
) -> Result<Option<BTreeMap<String, String>>, TopologyError> {
    if !observed.options.distributed {
        return Ok(None);
    }
    let affinity = migration::affinity_of(source.volume);
    let Some(affinity) = affinity.as_ref().and_then(|affinity| affinity.required.as_ref()) else {
        return Ok(None);
    };
    let nodes = observed.nodes.iter().map(AsRef::as_ref);
    let node = topology::managing_node(&source.volume.name_any(), affinity, nodes)?;
    Ok(Some(BTreeMap::from([(names::MANAGED_BY_LABEL.to_owned(), node)])))
}

fn content_spec(
    observed: &Observed,
    choice: &Choice<'_>,
    source: &SourceVolume<'_>,
) -> VolumeSnapshotContentSpec {
    let snapshot = &observed.snapshot;
    let class = choice.class();
    VolumeSnapshotContentSpec {
        deletion_policy: class.deletion_policy,
        driver: source.csi.driver.clone(),
        source: VolumeSnapshotContentSource {
            volume_handle: Some(source.csi.volume_handle.clone()),
            snapshot_handle: None,
        },
        source_volume_mode: source
            .volume
            .mode
            .map(|mode: VolumeMode| mode.as_str().to_owned())
            .filter(|_| observed.options.record_volume_mode),
        volume_snapshot_class_name: Some(class.name_any()),
        volume_snapshot_ref: ObjectReference {
            api_version: Some(format!("{}/v1", names::GROUP)),
            kind: Some("VolumeSnapshot".to_owned()),
            name: snapshot.metadata.name.clone(),
            namespace: snapshot.metadata.namespace.clone(),
            resource_version: snapshot.metadata.resource_version.clone(),
            uid: snapshot.metadata.uid.clone(),
            ..ObjectReference::default()
        },
    }
}

/// Finalizers first, then the claim's, then the content, then the status: each state in between is one that
/// [`plan`] goes on from.
fn create(observed: &Observed, inputs: Inputs<'_>) -> Plan {
    let snapshot = &observed.snapshot;
    let class_name = match &inputs.choice {
        Choice::Named(_) => None,
        Choice::Default(class) => Some(class.name_any()),
    };
    let policy = inputs.choice.class().deletion_policy;
    let mut actions: Vec<Action<Step>> = [
        bind::own(snapshot, policy, class_name),
        protect::protect(inputs.claim),
    ]
    .into_iter()
    .flatten()
    .map(Action::from)
    .collect();
    let told = status::follow(snapshot, &inputs.content, None);
    let announced = told.iter().any(|action| matches!(action, Action::Event(_)));
    let warning = inputs.no_node.map(|why| events::no_node(&inputs.content, &why));
    actions.push(Step::CreateContent(Box::new(inputs.content)).into());
    actions.extend(told);
    if !announced {
        actions.push(Action::Event(events::creating(snapshot)));
    }
    actions.extend(warning.map(Action::Event));
    then_await(actions)
}

/// The finalizers of a snapshot with a content of this policy.
#[must_use]
pub fn snapshot_finalizers(policy: DeletionPolicy) -> &'static [&'static str] {
    match policy {
        DeletionPolicy::Delete => &[names::SNAPSHOT_SOURCE_FINALIZER, names::SNAPSHOT_BOUND_FINALIZER],
        DeletionPolicy::Retain => &[names::SNAPSHOT_SOURCE_FINALIZER],
    }
}
