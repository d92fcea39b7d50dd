//! A PersistentVolume of a CSI driver as the calls of the driver want it.

use std::collections::BTreeMap;

use base64::Engine as _;
use csi::v1::VolumeCapability;
use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use runtime::migration;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{DRIVERS, SECRETS, items, text};
use crate::kube::Store;

/// What a volume's object says for its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CsiVolume {
    /// Name of the PersistentVolume.
    pub(crate) name: String,
    pub(crate) driver: String,
    pub(crate) handle: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) read_only: bool,
    pub(crate) block: bool,
    fs_type: String,
    mount_options: Vec<String>,
    modes: Vec<String>,
}

impl CsiVolume {
    /// Reads it, an in-tree one as its driver knows it; nothing for volumes of other kinds.
    pub(crate) fn of(volume: &Value) -> Option<Self> {
        match volume.pointer("/spec/csi") {
            Some(source) => Some(Self::from_source(volume, source)),
            None => Some(Self::from_source(volume, &migrated(volume)?)),
        }
    }

    fn from_source(volume: &Value, source: &Value) -> Self {
        let texts = |pointer: &str| {
            let list = items(volume, pointer).iter().filter_map(Value::as_str);
            list.map(str::to_owned).collect()
        };
        Self {
            name: text(volume, "/metadata/name").to_owned(),
            driver: text(source, "/driver").to_owned(),
            handle: text(source, "/volumeHandle").to_owned(),
            attributes: strings(&source["volumeAttributes"]),
            read_only: source["readOnly"] == true,
            block: text(volume, "/spec/volumeMode") == "Block",
            fs_type: text(source, "/fsType").to_owned(),
            mount_options: texts("/spec/mountOptions"),
            modes: texts("/spec/accessModes"),
        }
    }

    /// How it is to be accessed; `fine` is true for drivers with SINGLE_NODE_MULTI_WRITER (spec sidecars 1.6).
    pub(crate) fn capability(&self, fine: bool) -> VolumeCapability {
        let access = if self.block {
            AccessType::Block(BlockVolume {})
        } else {
            AccessType::Mount(MountVolume {
                fs_type: self.fs_type.clone(),
                mount_flags: self.mount_options.clone(),
                volume_mount_group: String::new(),
            })
        };
        VolumeCapability {
            access_type: Some(access),
            access_mode: Some(AccessMode {
                mode: self.mode(fine).into(),
            }),
        }
    }

    fn mode(&self, fine: bool) -> Mode {
        let has = |mode: &str| self.modes.iter().any(|one| one == mode);
        if has("ReadWriteMany") {
            Mode::MultiNodeMultiWriter
        } else if has("ReadWriteOncePod") {
            if fine {
                Mode::SingleNodeSingleWriter
            } else {
                Mode::SingleNodeWriter
            }
        } else if has("ReadWriteOnce") {
            if fine {
                Mode::SingleNodeMultiWriter
            } else {
                Mode::SingleNodeWriter
            }
        } else {
            Mode::MultiNodeReaderOnly
        }
    }

    /// Whether several nodes may have it at a time.
    pub(crate) fn is_shared(&self) -> bool {
        let shared = |mode: &String| mode == "ReadWriteMany" || mode == "ReadOnlyMany";
        self.modes.iter().any(shared)
    }

    /// The name under which nodes list it as in use and attached.
    pub(crate) fn unique_name(&self) -> String {
        format!("kubernetes.io/csi/{}^{}", self.driver, self.handle)
    }

    /// The name of its VolumeAttachment at a node.
    pub(crate) fn attachment_name(&self, node: &str) -> String {
        let digest = Sha256::digest(format!("{}{}{node}", self.handle, self.driver));
        format!("csi-{}", hex::encode(digest))
    }

    /// Whether its driver attaches volumes, as far as its CSIDriver object says.
    pub(crate) fn is_attachable(&self, store: &Store) -> bool {
        let driver = store.get(DRIVERS, "", &self.driver);
        driver.is_none_or(|driver| driver.value()["spec"]["attachRequired"] != false)
    }
}

/// The CSI source that stands for an in-tree volume.
fn migrated(volume: &Value) -> Option<Value> {
    let in_tree = volume.pointer("/spec/awsElasticBlockStore")?;
    let source = migration::translate(&serde_json::from_value(in_tree.clone()).ok()?)?;
    Some(json!({
        "driver": source.driver, "volumeHandle": source.volume_handle, "fsType": source.fs_type,
        "readOnly": source.read_only, "volumeAttributes": source.volume_attributes,
    }))
}

/// The texts of an object of texts.
pub(crate) fn strings(object: &Value) -> BTreeMap<String, String> {
    let members = object.as_object().into_iter().flatten();
    members
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// A secret that a volume refers to under this name (`nodeStageSecretRef`); empty where it refers to none.
///
/// # Errors
/// A text that names the secret which is not there.
pub(crate) fn secret(
    store: &Store,
    volume: &Value,
    reference: &str,
) -> Result<BTreeMap<String, String>, String> {
    let Some(reference) = volume["spec"]["csi"].get(reference) else {
        return Ok(BTreeMap::new());
    };
    let (namespace, name) = (text(reference, "/namespace"), text(reference, "/name"));
    let Some(secret) = store.get(SECRETS, namespace, name) else {
        return Err(format!(
            "failed to get secret {namespace}/{name}: secrets \"{name}\" not found"
        ));
    };
    let decoded = |(key, value): (String, String)| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
        Some((key, String::from_utf8(bytes).ok()?))
    };
    let data = strings(&secret.value()["data"]).into_iter();
    Ok(data.filter_map(decoded).collect())
}
