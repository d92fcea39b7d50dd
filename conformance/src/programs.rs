//! Where the binaries are. The only place that reads the environment of the process.

use std::path::{Path, PathBuf};

use crate::Error;

/// Names the folder of etcd, kube-apiserver, kube-controller-manager, kubectl and csi-sanity.
const CONTROL_PLANE: &str = "SLACKWATER_CONTROL_PLANE";
/// Names the folder of upstream's programs.
const PEERS: &str = "SLACKWATER_PEERS";
/// Names the folder of Helm.
const HELM: &str = "SLACKWATER_HELM";
/// Names the folder of the definitions of other projects.
const FOREIGN: &str = "SLACKWATER_FOREIGN";
/// Names the folder of the programs of a node.
const NODE: &str = "SLACKWATER_NODE";
/// Names the archive of our images.
const IMAGES: &str = "SLACKWATER_IMAGES";
/// Set by `conformance/node/inside`.
const INSIDE: &str = "SLACKWATER_INSIDE";
/// Names the binary `slackwater` that is judged.
const BINARY: &str = "SLACKWATER_BIN";
/// Names the folder that logs and data of the processes are kept in after the end.
const KEEP: &str = "SLACKWATER_CONFORMANCE_KEEP";

/// What `conformance/control-plane/build` makes.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// The folder that `SLACKWATER_CONTROL_PLANE` names, else `control-plane` in the target folder in which the
    /// running program lies.
    ///
    /// # Errors
    /// [`Error::Missing`] when one of the programs is not there.
    pub fn find() -> Result<Self, Error> {
        let missing = |name: &str| Error::Missing {
            name: name.to_owned(),
            command: "conformance/control-plane/build".to_owned(),
        };
        let folder = folder(CONTROL_PLANE, "control-plane").ok_or_else(|| missing("the control plane"))?;
        for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"] {
            if !folder.join(name).is_file() {
                return Err(missing(&folder.join(name).display().to_string()));
            }
        }
        Ok(Self { folder })
    }

    /// The path of one of the programs.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// What `conformance/peers/build` makes: upstream's controllers, and the definitions that they want.
#[derive(Clone, Debug)]
pub struct Peers {
    folder: PathBuf,
}

impl Peers {
    /// The programs.
    pub const NAMES: [&str; 5] = [
        "snapshot-controller",
        "csi-snapshotter",
        "csi-resizer",
        "csi-provisioner",
        "csi-attacher",
    ];

    /// The folder that `SLACKWATER_PEERS` names, else `peers` in the target folder in which the running program lies.
    ///
    /// # Errors
    /// [`Error::Missing`] when one of the programs is not there.
    pub fn find() -> Result<Self, Error> {
        let missing = |name: &str| Error::Missing {
            name: name.to_owned(),
            command: "conformance/peers/build".to_owned(),
        };
        let folder = folder(PEERS, "peers").ok_or_else(|| missing("the folder of upstream's programs"))?;
        for name in Self::NAMES {
            if !folder.join(name).is_file() {
                return Err(missing(&folder.join(name).display().to_string()));
            }
        }
        Ok(Self { folder })
    }

    /// The path of one of the programs.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder of the definitions of group snapshots.
    #[must_use]
    pub fn definitions(&self) -> PathBuf {
        self.folder.join("crds")
    }
}

/// What `conformance/node/build` makes: kube-scheduler, kubelet, containerd with its shim, and ctr.
#[derive(Clone, Debug)]
pub struct NodePrograms {
    folder: PathBuf,
}

impl NodePrograms {
    /// The folder that `SLACKWATER_NODE` names, else `node` in the target folder in which the running program lies.
    ///
    /// # Errors
    /// [`Error::Missing`] when one of the programs is not there.
    pub fn find() -> Result<Self, Error> {
        let missing = |name: &str| Error::Missing {
            name: name.to_owned(),
            command: "conformance/node/build".to_owned(),
        };
        let folder = folder(NODE, "node").ok_or_else(|| missing("the programs of a node"))?;
        for name in [
            "kube-scheduler",
            "kubelet",
            "containerd",
            "containerd-shim-runc-v2",
            "ctr",
        ] {
            if !folder.join(name).is_file() {
                return Err(missing(&folder.join(name).display().to_string()));
            }
        }
        Ok(Self { folder })
    }

    /// The path of one of the programs.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The search path with their folder first: containerd looks for its shim there.
    pub(crate) fn search_path(&self) -> String {
        let others = std::env::var("PATH").unwrap_or_default();
        format!("{}:{others}", self.folder.display())
    }
}

/// The archive of our images that `images/layout` makes: `SLACKWATER_IMAGES`, else `images.tar` in the folder of the
/// programs of a node.
///
/// # Errors
/// [`Error::Missing`] with the command that makes it.
pub fn images() -> Result<PathBuf, Error> {
    let path = match std::env::var_os(IMAGES) {
        Some(path) => Some(PathBuf::from(path)),
        None => folder(NODE, "node").map(|folder| folder.join("images.tar")),
    };
    path.filter(|path| path.is_file()).ok_or_else(|| Error::Missing {
        name: "the archive of the images".to_owned(),
        command: "images/layout make target/debug/slackwater target/node/images.tar".to_owned(),
    })
}

/// Whether this process has namespaces of its own, from `conformance/node/inside`.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some_and(|value| value == "yes")
}

/// The binary that is judged: `SLACKWATER_BIN`, else `slackwater` in the profile of the running program.
///
/// # Errors
/// [`Error::Missing`] with the command that builds it.
pub fn slackwater() -> Result<PathBuf, Error> {
    built("slackwater", BINARY, "cargo build -p slackwater")
}

/// The EC2 of the sandbox as a program, in the profile of the running program.
///
/// # Errors
/// [`Error::Missing`] with the command that builds it.
pub fn ec2_sandbox() -> Result<PathBuf, Error> {
    built(
        "ec2-sandbox",
        "SLACKWATER_EC2_SANDBOX",
        "cargo build -p conformance --bins",
    )
}

/// Helm 4: in the folder that `SLACKWATER_HELM` names, else `helm` in the target folder in which the running program lies.
///
/// # Errors
/// [`Error::Missing`] with the command that builds it.
pub fn helm() -> Result<PathBuf, Error> {
    helm_named("helm")
}

/// Helm 3, in the same folder.
///
/// # Errors
/// [`Error::Missing`] with the command that builds it.
pub fn helm_3() -> Result<PathBuf, Error> {
    helm_named("helm3")
}

fn helm_named(name: &str) -> Result<PathBuf, Error> {
    let program = folder(HELM, "helm").map(|folder| folder.join(name));
    program
        .filter(|program| program.is_file())
        .ok_or_else(|| Error::Missing {
            name: name.to_owned(),
            command: "conformance/helm/build".to_owned(),
        })
}

/// What `conformance/foreign/build` lays: a folder of definitions of a project, such as `argo-cd`; in the folder that
/// `SLACKWATER_FOREIGN` names, else `foreign` in the target folder in which the running program lies.
///
/// # Errors
/// [`Error::Missing`] with the command that lays it.
pub fn foreign_definitions(project: &str) -> Result<PathBuf, Error> {
    let path = folder(FOREIGN, "foreign").map(|folder| folder.join(project));
    path.filter(|path| path.is_dir()).ok_or_else(|| Error::Missing {
        name: format!("the folder of the definitions of {project}"),
        command: "conformance/foreign/build".to_owned(),
    })
}

/// Prometheus: `SLACKWATER_PROMETHEUS`, else `prometheus` on the search path.
///
/// # Errors
/// [`Error::Missing`] with the command that installs it.
pub fn prometheus() -> Result<PathBuf, Error> {
    let program = match std::env::var_os("SLACKWATER_PROMETHEUS") {
        Some(program) => Some(PathBuf::from(program)),
        None => std::env::var_os("PATH").and_then(|path| {
            std::env::split_paths(&path)
                .map(|folder| folder.join("prometheus"))
                .find(|program| program.is_file())
        }),
    };
    program
        .filter(|program| program.is_file())
        .ok_or_else(|| Error::Missing {
            name: "prometheus".to_owned(),
            command: "apt-get install prometheus (or name it in SLACKWATER_PROMETHEUS)".to_owned(),
        })
}

/// The folder in which all data stay after the end, if one is wished for.
pub(crate) fn kept_folder() -> Option<PathBuf> {
    std::env::var_os(KEEP).map(PathBuf::from)
}

/// The folder that a variable names, else the one of this name beside the running program.
fn folder(variable: &str, name: &str) -> Option<PathBuf> {
    match std::env::var_os(variable) {
        Some(folder) => Some(PathBuf::from(folder)),
        None => beside(name),
    }
}

fn built(name: &str, variable: &str, command: &str) -> Result<PathBuf, Error> {
    let path = match std::env::var_os(variable) {
        Some(path) => Some(PathBuf::from(path)),
        None => beside(name),
    };
    path.filter(|path| path.is_file()).ok_or_else(|| Error::Missing {
        name: name.to_owned(),
        command: format!("{command} (or name it in {variable})"),
    })
}

/// The nearest folder above the running program that holds `name`: tests lie in `target/PROFILE/deps`.
fn beside(name: &str) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let folders = program.ancestors().skip(1).take(4);
    folders
        .map(|folder: &Path| folder.join(name))
        .find(|path| path.exists())
}
