//! The folders of `examples/`, as the quick start applies them: resources in order, with the replacements
//! of their `kustomization.yaml` made from `ids.yaml`.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// A folder: file name and text of each of its manifests.
pub struct Folder {
    /// Path below the repository, for people.
    pub path: &'static str,
    files: &'static [(&'static str, &'static str)],
}

macro_rules! folder {
    ($name:literal, $($file:literal),+ $(,)?) => {
        Folder {
            path: concat!("examples/", $name),
            files: &[$(($file, include_str!(concat!("../../../examples/", $name, "/", $file)))),+],
        }
    };
}

/// A Deployment with a claim on a volume that exists.
pub const STATIC_VOLUME: Folder = folder!(
    "01-static",
    "README.md",
    "check.sh",
    "ids.yaml",
    "kustomization.yaml",
    "persistentvolume.yaml",
    "persistentvolumeclaim.yaml",
    "deployment.yaml"
);
/// A volume that is made for a claim.
pub const DYNAMIC: Folder = folder!(
    "02-dynamic",
    "README.md",
    "check.sh",
    "kustomization.yaml",
    "storageclass.yaml",
    "persistentvolumeclaim.yaml",
    "pod.yaml"
);
/// What a class can ask for.
pub const PARAMETERS: Folder = folder!(
    "03-storageclass-parameters",
    "README.md",
    "check.sh",
    "kustomization.yaml",
    "storageclasses.yaml",
    "persistentvolumeclaims.yaml",
    "pod.yaml",
    "colour.yaml"
);
/// Volumes where the pods are.
pub const TOPOLOGY: Folder = folder!(
    "04-topology",
    "README.md",
    "check.sh",
    "ids.yaml",
    "kustomization.yaml",
    "storageclass.yaml",
    "statefulset.yaml"
);
/// A snapshot of the claim `ebs-claim`.
pub const SNAPSHOT: Folder = folder!(
    "05-snapshot",
    "README.md",
    "check.sh",
    "kustomization.yaml",
    "volumesnapshotclass.yaml",
    "volumesnapshot.yaml"
);
/// A claim that begins with a snapshot.
pub const RESTORE: Folder = folder!(
    "06-restore",
    "README.md",
    "check.sh",
    "kustomization.yaml",
    "persistentvolumeclaim.yaml",
    "pod.yaml",
    "too-small.yaml"
);
/// An EBS snapshot that exists, as a `VolumeSnapshot`.
pub const IMPORT: Folder = folder!(
    "07-import-snapshot",
    "README.md",
    "check.sh",
    "ids.yaml",
    "kustomization.yaml",
    "volumesnapshotcontent.yaml",
    "volumesnapshot.yaml"
);
/// A claim that grows under a running pod.
pub const EXPAND: Folder = folder!(
    "08-expand",
    "README.md",
    "check.sh",
    "ids.yaml",
    "kustomization.yaml",
    "storageclass.yaml",
    "persistentvolume.yaml",
    "persistentvolumeclaim.yaml",
    "pod.yaml"
);
/// A claim that begins as a copy of another.
pub const CLONE: Folder = folder!(
    "09-clone",
    "README.md",
    "check.sh",
    "kustomization.yaml",
    "persistentvolumeclaim.yaml",
    "pod.yaml"
);
/// A volume that is made faster under a running pod.
pub const CHANGE: Folder = folder!(
    "10-volume-attributes-class",
    "README.md",
    "check.sh",
    "ids.yaml",
    "kustomization.yaml",
    "storageclass.yaml",
    "standard.yaml",
    "fast.yaml",
    "persistentvolume.yaml",
    "persistentvolumeclaim.yaml",
    "pod.yaml"
);
/// A volume without a file system.
pub const BLOCK: Folder = folder!(
    "11-block",
    "README.md",
    "check.sh",
    "ids.yaml",
    "kustomization.yaml",
    "storageclass.yaml",
    "persistentvolume.yaml",
    "persistentvolumeclaim.yaml",
    "pod.yaml",
    "snapshot.yaml"
);
/// A volume that goes with its pod.
pub const EPHEMERAL: Folder = folder!(
    "12-ephemeral",
    "README.md",
    "check.sh",
    "kustomization.yaml",
    "storageclass.yaml",
    "pod.yaml"
);
/// A snapshot in another namespace.
pub const ELSEWHERE: Folder = folder!(
    "13-cross-namespace",
    "README.md",
    "check.sh",
    "ids.yaml",
    "kustomization.yaml",
    "namespace.yaml",
    "volumesnapshotcontent.yaml",
    "volumesnapshot.yaml",
    "persistentvolumeclaim.yaml",
    "pod.yaml"
);
/// A database on two volumes, both of one moment.
pub const GROUP: Folder = folder!(
    "14-group-snapshot",
    "README.md",
    "check.sh",
    "ids.yaml",
    "kustomization.yaml",
    "storageclass.yaml",
    "volumes.yaml",
    "claims.yaml",
    "pod.yaml",
    "volumegroupsnapshotclass.yaml",
    "volumegroupsnapshot.yaml"
);
/// A snapshot each night.
pub const SCHEDULED: Folder = folder!(
    "15-scheduled",
    "README.md",
    "check.sh",
    "kustomization.yaml",
    "volumesnapshotclass.yaml",
    "rbac.yaml",
    "configmap.yaml",
    "cronjob.yaml"
);
/// Snapshots for a backup program.
pub const BACKUP: Folder = folder!(
    "16-backup",
    "README.md",
    "check.sh",
    "kustomization.yaml",
    "volumesnapshotclass.yaml",
    "volumesnapshot.yaml",
    "recovered.yaml"
);
/// A StatefulSet whose volumes grow.
pub const GROWING_SET: Folder = folder!(
    "17-statefulset-expand",
    "README.md",
    "check.sh",
    "grow.sh",
    "kustomization.yaml",
    "storageclass.yaml",
    "statefulset.yaml"
);
/// A namespace with a quota.
pub const QUOTA: Folder = folder!(
    "18-quota",
    "README.md",
    "check.sh",
    "kustomization.yaml",
    "namespace.yaml",
    "resourcequota.yaml",
    "storageclass.yaml",
    "volumesnapshotclass.yaml",
    "persistentvolumeclaim.yaml",
    "volumesnapshots.yaml",
    "third.yaml",
    "too-large.yaml"
);
/// A class of the plugin that was a part of Kubernetes.
pub const IN_TREE: Folder = folder!(
    "25-in-tree",
    "README.md",
    "check.sh",
    "kustomization.yaml",
    "storageclass.yaml",
    "persistentvolumeclaim.yaml",
    "pod.yaml"
);
/// What the checks of all folders share, beside them.
const SHARED: (&str, &str) = ("check-lib.sh", include_str!("../../../examples/check-lib.sh"));

/// The values of `ids.yaml` by key.
pub type Ids<'a> = BTreeMap<&'a str, String>;

/// Writes folders below `place`, with these IDs in place of those that stand there.
///
/// # Errors
/// When a file cannot be written.
pub fn write(place: &Path, folders: &[(&Folder, Ids<'_>)]) -> io::Result<()> {
    std::fs::create_dir_all(place)?;
    std::fs::write(place.join(SHARED.0), SHARED.1)?;
    for (folder, ids) in folders {
        let path = place.join(folder.path.trim_start_matches("examples/"));
        std::fs::create_dir_all(&path)?;
        for (name, text) in folder.files {
            let file = path.join(name);
            if *name == "ids.yaml" {
                std::fs::write(&file, filled(text, ids))?;
            } else {
                std::fs::write(&file, text)?;
            }
            if Path::new(name).extension().is_some_and(|ending| ending == "sh") {
                std::fs::set_permissions(&file, Permissions::from_mode(0o755))?;
            }
        }
    }
    Ok(())
}

/// The text of an `ids.yaml` with these values.
fn filled(text: &str, ids: &Ids<'_>) -> String {
    let mut filled = String::new();
    for line in text.lines() {
        let key = line.trim().split(':').next().unwrap_or_default();
        match ids.get(key) {
            Some(value) => filled += &format!("  {key}: {value}\n"),
            None => filled += &format!("{line}\n"),
        }
    }
    filled
}

/// Why a folder could not be read. Only a change of the examples can cause it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not YAML or not of the expected form.
    #[error("{file} cannot be read: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A replacement names a file, object or field that is not there.
    #[error("the kustomization of {path} refers to {what}, which is not there")]
    Missing {
        /// The folder.
        path: &'static str,
        /// What it refers to.
        what: String,
    },
}

#[derive(Deserialize)]
struct Kustomization {
    resources: Vec<String>,
    #[serde(default)]
    replacements: Vec<Replacement>,
}

#[derive(Deserialize)]
struct Replacement {
    source: Source,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    field_path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    select: Select,
    field_paths: Vec<String>,
}

#[derive(Deserialize)]
struct Select {
    kind: String,
    name: String,
}

impl Folder {
    /// The objects to apply, in order. `ids` are the values of `ids.yaml` by key, in place of those that
    /// stand there.
    ///
    /// # Errors
    /// When the folder is not of the expected form.
    pub fn objects(&self, ids: &Ids<'_>) -> Result<Vec<Value>, Error> {
        let kustomization: Kustomization = self.parse("kustomization.yaml")?;
        let mut objects = Vec::new();
        for file in kustomization.resources.iter().filter(|file| *file != "ids.yaml") {
            objects.push(self.parse::<Value>(file)?);
        }
        for replacement in &kustomization.replacements {
            let key = replacement.source.field_path.trim_start_matches("data.");
            let value = ids
                .get(key)
                .ok_or_else(|| self.missing(format!("the ID {key}")))?;
            for target in &replacement.targets {
                self.replace(&mut objects, target, value)?;
            }
        }
        Ok(objects)
    }

    fn replace(&self, objects: &mut [Value], target: &Target, value: &str) -> Result<(), Error> {
        let Select { kind, name } = &target.select;
        let object = objects
            .iter_mut()
            .find(|object| object["kind"] == **kind && object["metadata"]["name"] == **name)
            .ok_or_else(|| self.missing(format!("{kind} {name}")))?;
        for path in &target.field_paths {
            let pointer = format!("/{}", path.replace('.', "/"));
            let field = object
                .pointer_mut(&pointer)
                .ok_or_else(|| self.missing(format!("{name}.{path}")))?;
            *field = Value::String(value.to_owned());
        }
        Ok(())
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let (_, text) = self
            .files
            .iter()
            .find(|(file, _)| *file == name)
            .ok_or_else(|| self.missing(format!("the file {name}")))?;
        serde_saphyr::from_str(text).map_err(|error| Error::Malformed {
            file: format!("{}/{name}", self.path),
            reason: error.to_string(),
        })
    }

    fn missing(&self, what: String) -> Error {
        Error::Missing {
            path: self.path,
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_filled_in() {
        let ids = BTreeMap::from([
            ("volumeHandle", "vol-1".to_owned()),
            ("zone", "eu-west-1b".to_owned()),
        ]);
        let objects = STATIC_VOLUME.objects(&ids).unwrap();
        assert_eq!(objects.len(), 3);
        assert_eq!(objects[0]["spec"]["csi"]["volumeHandle"], "vol-1");
        let term = &objects[0]["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0];
        assert_eq!(term["matchExpressions"][0]["values"][0], "eu-west-1b");
    }

    #[test]
    fn every_folder_can_be_applied() {
        let ids = BTreeMap::from([("snapshotHandle", "snap-1".to_owned())]);
        assert_eq!(SNAPSHOT.objects(&BTreeMap::new()).unwrap().len(), 2);
        assert_eq!(
            IMPORT.objects(&ids).unwrap()[0]["spec"]["source"]["snapshotHandle"],
            "snap-1"
        );
        let ids = BTreeMap::from([
            ("volumeHandle", "vol-1".to_owned()),
            ("zone", "eu-west-1b".to_owned()),
        ]);
        for (folder, number) in [(DYNAMIC, 3), (RESTORE, 2), (CLONE, 2), (EPHEMERAL, 2)] {
            assert_eq!(
                folder.objects(&BTreeMap::new()).unwrap().len(),
                number,
                "{}",
                folder.path
            );
        }
        for folder in [EXPAND, BLOCK] {
            let objects = folder.objects(&ids).unwrap();
            assert_eq!(objects.len(), 4);
            assert_eq!(objects[1]["spec"]["csi"]["volumeHandle"], "vol-1");
        }
        let objects = CHANGE.objects(&ids).unwrap();
        assert_eq!(objects.len(), 6);
        assert_eq!(objects[3]["spec"]["csi"]["volumeHandle"], "vol-1");
    }

    #[test]
    fn a_copy_has_the_ids_and_can_be_run() {
        let place = tempfile::tempdir().unwrap();
        let ids = BTreeMap::from([
            ("volumeHandle", "vol-1".to_owned()),
            ("zone", "eu-west-1b".to_owned()),
        ]);
        write(
            place.path(),
            &[(&EXPAND, ids.clone()), (&SNAPSHOT, BTreeMap::new())],
        )
        .unwrap();
        let folder = place.path().join("08-expand");
        let text = std::fs::read_to_string(folder.join("ids.yaml")).unwrap();
        assert!(
            text.ends_with("data:\n  volumeHandle: vol-1\n  zone: eu-west-1b\n"),
            "{text}"
        );
        assert!(text.contains("name: ids"));
        let mode = std::fs::metadata(folder.join("check.sh"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111);
        assert!(place.path().join("check-lib.sh").exists());
        assert!(place.path().join("05-snapshot/volumesnapshot.yaml").exists());
    }

    #[test]
    fn a_missing_id_is_named() {
        let error = IMPORT.objects(&BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("snapshotHandle"), "{error}");
    }
}
