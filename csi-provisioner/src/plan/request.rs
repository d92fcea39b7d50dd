//! The request that makes the volume of a claim, and the volume as far as it is known before. Source: sidecars.md 2.3, 2.10.

use std::collections::BTreeMap;

use controller::capability;
use csi::v1::volume_capability::AccessType;
use csi::v1::volume_capability::{BlockVolume, MountVolume};
use csi::v1::{CapacityRange, CreateVolumeRequest, VolumeCapability};
use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeSpec, SecretReference,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use runtime::ObjectKey;
use runtime::objects::{
    AccessModes, PROVISIONER_FINALIZER, Quantity, SecretName, VolumeMode, Wish, attacher_finalizer,
};

use super::Obstacle;
use super::parameters::{self, Class};
use super::secrets::{self, About, Secrets};
use super::source::{self, Filled};
use crate::args::UidLength;
use crate::observe::{Begun, Lookup, Observed, Parameters, Settings};

/// Annotation of a volume: who made it.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// The driver that took over the volume's in-tree plugin.
const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";
const DELETION_SECRET: [&str; 2] = [
    "volume.kubernetes.io/provisioner-deletion-secret-name",
    "volume.kubernetes.io/provisioner-deletion-secret-namespace",
];
const MODIFY_SECRET: [&str; 2] = [
    "volume.kubernetes.io/controller-modify-secret-name",
    "volume.kubernetes.io/controller-modify-secret-namespace",
];
const IDENTITY: &str = "storage.kubernetes.io/csiProvisionerIdentity";
const READ_ONLY_MANY: &str = "ReadOnlyMany";
const DELETE: &str = "Delete";
/// Above this the scheduler is not asked again for a node that is only slow to come back (Q24).
pub const NODE_PATIENCE_SECONDS: u64 = 30;

/// The name of the volume of a claim with this UID.
#[must_use]
pub fn volume_name(settings: &Settings, uid: &str) -> String {
    let uid: String = match settings.uid_length {
        UidLength::Whole => uid.to_owned(),
        UidLength::Characters(number) => uid
            .chars()
            .filter(|character| *character != '-')
            .take(number)
            .collect(),
    };
    format!("{}-{uid}", settings.name_prefix)
}

/// What is to be called for, with what must be protected before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The request.
    pub begun: Begun,
    /// The source does not carry our finalizer yet.
    pub is_unprotected: bool,
}

/// The steps 1 to 15.
///
/// # Errors
/// The first thing that stands in the way.
pub fn prepare(observed: &Observed<'_>, wish: &Wish, class: &Class<'_>) -> Result<Prepared, Obstacle> {
    let settings = observed.settings;
    let claim = observed.claim;
    let size = claim.request.unwrap_or_default();
    let filled = source::filled(observed, class, size)?;
    check_supported(observed, wish, class, size)?;
    let name = volume_name(settings, claim.metadata.uid.as_deref().unwrap_or_default());
    let fs_type = parameters::fs_type(&class.parameters, settings)?;
    let capabilities = capabilities(wish, &fs_type, class, settings.driver.single_node_multi_writer)?;
    let place = observed.topology.clone()?;
    let mutable_parameters = mutable_parameters(observed)?;
    let key = ObjectKey::of(claim);
    let about = About {
        volume: &name,
        claim: Some((&key.namespace, &key.name)),
        annotations: Some(&wish.annotations),
    };
    let secrets = secrets::of(&class.parameters, &about)?;
    let parameters = parameters(settings, class, &key, &name)?;
    let secret = super::ready(observed.secret, secrets.provisioner.as_ref())?;
    let volume = skeleton(observed, wish, class, &name, &fs_type, &secrets);
    let Filled {
        content,
        source,
        is_unprotected,
    } = filled;
    Ok(Prepared {
        begun: Begun {
            request: CreateVolumeRequest {
                name,
                capacity_range: Some(CapacityRange {
                    required_bytes: size.bytes(),
                    limit_bytes: 0,
                }),
                volume_capabilities: capabilities,
                parameters,
                secrets: BTreeMap::new(),
                volume_content_source: content,
                accessibility_requirements: place,
                mutable_parameters,
            },
            secret,
            volume,
            node: wish.selected_node().map(str::to_owned),
            source,
            is_migrated: class.is_migrated,
            of: super::fingerprint(observed),
            class: super::class_uid(observed).map(str::to_owned),
            labels: super::labels(observed),
        },
        is_unprotected,
    })
}

/// What neither the source nor the class decides: whether the driver and we can make such a volume at all.
fn check_supported(
    observed: &Observed<'_>,
    wish: &Wish,
    class: &Class<'_>,
    size: Quantity,
) -> Result<(), Obstacle> {
    let driver = &observed.settings.driver;
    if !driver.makes_volumes {
        return Err(source::lacks(&driver.name, "CREATE_DELETE_VOLUME"));
    }
    if attributes_class(observed).is_some() && !driver.modifies {
        return Err(source::lacks(&driver.name, "MODIFY_VOLUME"));
    }
    if attributes_class(observed).is_some() && class.is_migrated {
        // The API server would refuse the volume once it is made.
        return Err(Obstacle::Refused(format!(
            "a volume of the in-tree plugin cannot have a VolumeAttributesClass from the start: name the class once the claim is \
             bound, or use a StorageClass whose provisioner is {}",
            driver.name
        )));
    }
    if wish.has_selector {
        return Err(Obstacle::refused(
            "claim Selector is not supported: a volume is made for the claim, so that there is nothing to select from; remove \
             spec.selector",
        ));
    }
    if size.exceeds_int64() {
        return Err(Obstacle::Refused(format!("no volume can have {size} bytes")));
    }
    Ok(())
}

/// The VolumeAttributesClass that the claim names, where these are in use.
fn attributes_class<'a>(observed: &Observed<'a>) -> Option<&'a str> {
    let in_use = observed.settings.attributes_classes;
    observed.claim.wanted_class().filter(|_| in_use)
}

/// What the driver is given of the class, with what `--extra-create-metadata` adds.
fn parameters(
    settings: &Settings,
    class: &Class<'_>,
    claim: &ObjectKey,
    volume: &str,
) -> Result<Parameters, Obstacle> {
    let mut passed = parameters::passed(&class.parameters)?;
    if settings.extra_create_metadata {
        passed.extend(parameters::metadata((&claim.namespace, &claim.name), volume));
    }
    Ok(passed)
}

/// One capability for each mode, in the order of the claim.
fn capabilities(
    wish: &Wish,
    fs_type: &str,
    class: &Class<'_>,
    single_node_multi_writer: bool,
) -> Result<Vec<VolumeCapability>, Obstacle> {
    let access_type = match wish.mode {
        Some(VolumeMode::Block) => AccessType::Block(BlockVolume {}),
        _ => AccessType::Mount(MountVolume {
            fs_type: fs_type.to_owned(),
            mount_flags: class.object.mount_options.clone().unwrap_or_default(),
            ..MountVolume::default()
        }),
    };
    let one = |mode: &String| {
        let modes = AccessModes::of([mode.as_str()]);
        capability::with(modes, single_node_multi_writer, access_type.clone())
    };
    let all: Result<Vec<_>, _> = wish.access_modes.iter().map(one).collect();
    match all {
        Ok(all) if all.is_empty() => Err(Obstacle::refused("the claim has no access mode")),
        Ok(all) => Ok(all),
        Err(error) => Err(Obstacle::Refused(error.to_string())),
    }
}

/// Where a flag demands classes that the API server lacks.
const NO_ATTRIBUTES: &str = ": the API server did not serve the kind in storage.k8s.io/v1 at the start; where it has v1beta1 set \
     ENABLE_VAC_FALLBACK=true in the environment of the csi-provisioner, or have volumes made without their class by \
     --feature-gates=VolumeAttributesClass=false";

fn mutable_parameters(observed: &Observed<'_>) -> Result<Parameters, Obstacle> {
    let Some(name) = attributes_class(observed) else {
        return Ok(Parameters::new());
    };
    match observed.attributes {
        Lookup::Unread => Err(Obstacle::ReadAttributes(name.to_owned())),
        Lookup::Unserved | Lookup::Absent => {
            let why = match observed.settings.lacks_attributes {
                true => NO_ATTRIBUTES,
                false => "",
            };
            Err(Obstacle::Refused(format!(
                "VolumeAttributesClass {name} does not exist{why}"
            )))
        }
        Lookup::Found(class) if class.driver != observed.settings.driver.name => {
            Err(Obstacle::Refused(format!(
                "VolumeAttributesClass {name} is of driver {}, and the volume of driver {}: name a class of that driver",
                class.driver, observed.settings.driver.name
            )))
        }
        Lookup::Found(class) => Ok(class.parameters.clone()),
    }
}

/// The volume without what the driver answers: handle, size, place, attributes.
fn skeleton(
    observed: &Observed<'_>,
    wish: &Wish,
    class: &Class<'_>,
    name: &str,
    fs_type: &str,
    secrets: &Secrets,
) -> PersistentVolume {
    let (claim, settings) = (observed.claim, observed.settings);
    let is_block = wish.mode == Some(VolumeMode::Block);
    let reads_only = wish.access_modes == [READ_ONLY_MANY] && settings.publish_read_only;
    let csi = CSIPersistentVolumeSource {
        driver: class.driver.to_owned(),
        fs_type: Some(fs_type.to_owned()).filter(|fs_type| !is_block && !fs_type.is_empty()),
        read_only: reads_only.then_some(true),
        volume_attributes: Some(BTreeMap::from([(IDENTITY.to_owned(), settings.identity.clone())])),
        controller_publish_secret_ref: referred(secrets.controller_publish.as_ref()),
        node_stage_secret_ref: referred(secrets.node_stage.as_ref()),
        node_publish_secret_ref: referred(secrets.node_publish.as_ref()),
        controller_expand_secret_ref: referred(secrets.controller_expand.as_ref()),
        node_expand_secret_ref: referred(secrets.node_expand.as_ref()),
        ..CSIPersistentVolumeSource::default()
    };
    let policy = class.object.reclaim_policy.clone();
    let is_ours_to_delete = policy.as_deref().unwrap_or(DELETE) == DELETE;
    let finalizers: Vec<String> = [
        is_ours_to_delete.then(|| PROVISIONER_FINALIZER.to_owned()),
        // The attacher would add it with a request of its own (7.3).
        settings.driver.attaches.then(|| attacher_finalizer(class.driver)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let about = &claim.metadata;
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            annotations: Some(annotations(class, secrets)),
            finalizers: Some(finalizers).filter(|finalizers| !finalizers.is_empty()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: Some(wish.access_modes.clone()),
            volume_mode: wish.mode.map(|mode| mode.as_str().to_owned()),
            mount_options: class.object.mount_options.clone(),
            persistent_volume_reclaim_policy: policy,
            storage_class_name: class.object.metadata.name.clone(),
            claim_ref: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("PersistentVolumeClaim".to_owned()),
                namespace: about.namespace.clone(),
                name: about.name.clone(),
                uid: about.uid.clone(),
                resource_version: about.resource_version.clone(),
                ..ObjectReference::default()
            }),
            volume_attributes_class_name: attributes_class(observed).map(str::to_owned),
            csi: Some(csi),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    }
}

fn annotations(class: &Class<'_>, secrets: &Secrets) -> Parameters {
    let pair = |keys: [&str; 2], secret: &SecretName| {
        let [name, namespace] = keys.map(str::to_owned);
        [(name, secret.name.clone()), (namespace, secret.namespace.clone())]
    };
    let none = SecretName::default();
    let mut annotations = Parameters::from([(PROVISIONED_BY.to_owned(), class.object.provisioner.clone())]);
    if class.is_migrated {
        // As the volume controller adds it, with a write of its own: until then the volume would look handed back to the plugin.
        annotations.insert(MIGRATED_TO.to_owned(), class.driver.to_owned());
    }
    // Empty where there is none: so the class need not be asked at the end.
    annotations.extend(pair(
        DELETION_SECRET,
        secrets.provisioner.as_ref().unwrap_or(&none),
    ));
    if let Some(secret) = &secrets.controller_modify {
        annotations.extend(pair(MODIFY_SECRET, secret));
    }
    annotations
}

fn referred(secret: Option<&SecretName>) -> Option<SecretReference> {
    secret.map(|secret| SecretReference {
        name: Some(secret.name.clone()),
        namespace: Some(secret.namespace.clone()),
    })
}

/// The volume that the driver made, as the API server is to have it.
#[must_use]
pub fn volume(settings: &Settings, begun: &Begun, made: &csi::v1::Volume) -> PersistentVolume {
    let mut volume = begun.volume.clone();
    let required = begun
        .request
        .capacity_range
        .as_ref()
        .map_or(0, |range| range.required_bytes);
    // 0 means "as asked for".
    let bytes = if made.capacity_bytes == 0 {
        required
    } else {
        made.capacity_bytes
    };
    if let Some(spec) = &mut volume.spec {
        let size = Quantity::from_bytes(bytes).to_string();
        spec.capacity = Some(BTreeMap::from([(
            "storage".to_owned(),
            k8s_openapi::apimachinery::pkg::api::resource::Quantity(size),
        )]));
        if settings.topology {
            spec.node_affinity = crate::topology::affinity(&made.accessible_topology);
        }
        if let Some(csi) = &mut spec.csi {
            csi.volume_handle.clone_from(&made.volume_id);
            // What the driver says wins.
            let attributes = csi.volume_attributes.get_or_insert_default();
            attributes.extend(made.volume_context.clone());
        }
    }
    volume
}
