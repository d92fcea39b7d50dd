//! A cluster of one machine: this one, in the namespaces that `conformance/node/inside` makes.

mod files;
mod images;
mod running;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::mount::{UnmountFlags, mount_bind, unmount};

use crate::control_plane::{KUBELET, SCHEDULER, SERVICE};
use crate::{
    ControlPlane, Data, Ec2Process, Error, Launch, NodePrograms, Options, Peers, Process, Volume, programs,
    until,
};

/// Its name.
pub const NODE: &str = "node-1";
/// The zone of its instance.
pub const ZONE: &str = "us-east-1a";
/// The type of its instance.
const INSTANCE_TYPE: &str = "m5.large";
/// How long a program may take; builds may use the same processors.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where containerd listens.
const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// The size of the file system of EC2's data. Sparse, as the volumes on it are.
const DATA_BYTES: u64 = 64 << 30;

/// Control plane, scheduler, EC2 with the data of volumes, containerd and kubelet. Dropping it ends them.
#[derive(Debug)]
pub struct OneNode {
    plane: ControlPlane,
    ec2: Ec2Process,
    instance: String,
    /// The volume that the instance boots from.
    root: Option<String>,
    /// Where EC2 keeps data.
    data: PathBuf,
    node_programs: NodePrograms,
    // Dropped in this order.
    kubelet: Process,
    containerd: Process,
    scheduler: Process,
}

impl OneNode {
    /// Starts it, and waits until the node is ready and has the images.
    ///
    /// # Errors
    /// [`Error::Missing`] outside of the namespaces, and where programs are not there; when one does not become ready.
    pub async fn start() -> Result<Self, Error> {
        if !programs::is_inside() {
            return Err(Error::Missing {
                name: "a machine of its own".to_owned(),
                command: "conformance/node/inside COMMAND (as root)".to_owned(),
            });
        }
        let node_programs = NodePrograms::find()?;
        let (suite, busybox) = (programs::images()?, images::busybox()?);
        let plane = ControlPlane::start(Options {
            serves_pods: true,
            ..Options::default()
        })
        .await?;
        let folder = plane.folder().to_owned();
        let start = |launch: Launch| Process::start(plane.keeper(), &folder, &launch);
        let scheduler = start(scheduler(&plane, &node_programs))?;
        let (ec2, instance, data) = ec2(&plane)?;
        let root = ec2.state()?.volumes.pop().map(|volume| volume.id);
        let containerd = start(containerd(&folder, &node_programs)?)?;
        until("containerd listens", PATIENCE, async || {
            std::os::unix::net::UnixStream::connect(CONTAINERD).ok()
        })
        .await?;
        import(&node_programs, &busybox, &[])?;
        // Its images have bare names.
        import(&node_programs, &suite, &["--base-name", "localhost/slackwater"])?;
        let kubelet = start(kubelet(&plane, &node_programs, &instance)?)?;
        let node = Self {
            plane,
            ec2,
            instance,
            root,
            data,
            node_programs,
            kubelet,
            containerd,
            scheduler,
        };
        node.ready().await?;
        Ok(node)
    }

    /// The control plane.
    #[must_use]
    pub fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// The control plane, to kill parts of it.
    pub fn plane_mut(&mut self) -> &mut ControlPlane {
        &mut self.plane
    }

    /// EC2.
    #[must_use]
    pub fn ec2(&self) -> &Ec2Process {
        &self.ec2
    }

    /// The ID of the instance that this machine is.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The volumes of EC2 but the one that the instance boots from.
    ///
    /// # Errors
    /// When EC2 does not answer.
    pub fn volumes(&self) -> Result<Vec<Volume>, Error> {
        let mut volumes = self.ec2.state()?.volumes;
        volumes.retain(|volume| Some(&volume.id) != self.root.as_ref());
        Ok(volumes)
    }

    /// The file that EC2 keeps the data of a volume in.
    #[must_use]
    pub fn volume_file(&self, id: &str) -> PathBuf {
        self.data.join("volumes").join(id)
    }

    /// Gives the node images of upstream's programs, each named `localhost/upstream:PROGRAM` and started by its entry point.
    ///
    /// # Errors
    /// When they cannot be made or imported.
    pub fn import_upstream(&self, peers: &Peers) -> Result<(), Error> {
        import(&self.node_programs, &images::upstream(peers)?, &[])
    }

    /// Starts kube-controller-manager and kube-scheduler anew, as happens where they have a lease that they cannot renew.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn restart_controllers(&mut self) -> Result<(), Error> {
        self.plane.restart_controller_manager()?;
        self.scheduler.kill();
        let launch = scheduler(&self.plane, &self.node_programs);
        self.scheduler = Process::start(self.plane.keeper(), self.plane.folder(), &launch)?;
        Ok(())
    }

    /// Kills kubelet, as `kill -9`, and starts it again.
    ///
    /// # Errors
    /// When it cannot be started, or the node does not become ready.
    pub async fn restart_kubelet(&mut self) -> Result<(), Error> {
        self.kubelet.kill();
        let launch = kubelet(&self.plane, &self.node_programs, &self.instance)?;
        self.kubelet = Process::start(self.plane.keeper(), self.plane.folder(), &launch)?;
        self.ready().await
    }

    /// Kills containerd, as `kill -9`, and starts it again; containers go on running.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn restart_containerd(&mut self) -> Result<(), Error> {
        self.containerd.kill();
        let folder = self.plane.folder();
        let launch = containerd(folder, &self.node_programs)?;
        self.containerd = Process::start(self.plane.keeper(), folder, &launch)?;
        Ok(())
    }

    async fn ready(&self) -> Result<(), Error> {
        let kubectl = self.plane.kubectl();
        until("the node is ready", PATIENCE, async || {
            let path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
            let seen = kubectl.run(&["get", "node", NODE, "-o", path]).ok()?;
            (seen.stdout == "True").then_some(())
        })
        .await
        .map_err(|error| match self.kubelet.log_tail() {
            tail if tail.is_empty() => error,
            tail => Error::Refused {
                what: error.to_string(),
                answer: tail,
            },
        })
    }
}

fn scheduler(plane: &ControlPlane, programs: &NodePrograms) -> Launch {
    Launch::new("kube-scheduler", &programs.path("kube-scheduler")).args([
        format!("--kubeconfig={}", plane.existing(SCHEDULER).kubeconfig.display()),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
    ])
}

/// EC2, whose devices are those of this machine; its instance, and where its data are.
fn ec2(plane: &ControlPlane) -> Result<(Ec2Process, String, PathBuf), Error> {
    let folder = plane.folder().join("ec2");
    cloning_file_system(&plane.folder().join("ec2.xfs"), &folder)?;
    let data = Data {
        folder: folder.join("data"),
        address: SERVICE,
    };
    let ec2 = Ec2Process::start_with_data(plane.keeper(), plane.folder(), &data)?;
    let instance = ec2.instance(ZONE, INSTANCE_TYPE)?;
    let links = data.links(&instance);
    for folder in [links.as_path(), Path::new("/dev/disk")] {
        std::fs::create_dir_all(folder).map_err(Error::system(format!("make {}", folder.display())))?;
    }
    // That of a cluster before this one, which is gone with its folder.
    let _ = unmount("/dev/disk", UnmountFlags::DETACH);
    mount_bind(&links, "/dev/disk").map_err(|error| bound("/dev/disk", error))?;
    Ok((ec2, instance, data.folder))
}

fn bound(path: &str, error: rustix::io::Errno) -> Error {
    Error::system(format!("mount {path}"))(error.into())
}

/// A file system that copies a file in one moment, so that a snapshot is of one moment.
fn cloning_file_system(file: &Path, folder: &Path) -> Result<(), Error> {
    let made = std::fs::File::create(file).and_then(|made| made.set_len(DATA_BYTES));
    made.map_err(Error::system(format!("make {}", file.display())))?;
    std::fs::create_dir_all(folder).map_err(Error::system(format!("make {}", folder.display())))?;
    let text = |path: &Path| path.display().to_string();
    run(Command::new("mkfs.xfs").args(["-q", &text(file)]))?;
    run(Command::new("mount").args(["-o", "loop", &text(file), &text(folder)]))
}

fn containerd(folder: &Path, programs: &NodePrograms) -> Result<Launch, Error> {
    let config = folder.join("containerd.toml");
    write(&config, files::CONTAINERD)?;
    std::fs::create_dir_all("/etc/cni/net.d").map_err(Error::system("make /etc/cni/net.d"))?;
    write(Path::new("/etc/cni/net.d/10-bridge.conflist"), files::NETWORK)?;
    Ok(Launch::new("containerd", &programs.path("containerd"))
        .args([format!("--config={}", config.display())])
        .env("PATH", programs.search_path()))
}

fn import(programs: &NodePrograms, archive: &Path, options: &[&str]) -> Result<(), Error> {
    run(Command::new(programs.path("ctr"))
        .args([
            "--address",
            CONTAINERD,
            "--namespace",
            "k8s.io",
            "images",
            "import",
        ])
        .args(options)
        .arg(archive))
}

fn kubelet(plane: &ControlPlane, programs: &NodePrograms, instance: &str) -> Result<Launch, Error> {
    let config = plane.folder().join("kubelet.json");
    write(&config, &files::kubelet(CONTAINERD))?;
    let region = ZONE.trim_end_matches(char::is_alphabetic);
    let labels = [
        format!("topology.kubernetes.io/zone={ZONE}"),
        format!("topology.kubernetes.io/region={region}"),
        format!("node.kubernetes.io/instance-type={INSTANCE_TYPE}"),
    ];
    Ok(Launch::new("kubelet", &programs.path("kubelet"))
        .args([
            format!("--config={}", config.display()),
            format!("--kubeconfig={}", plane.existing(KUBELET).kubeconfig.display()),
            format!("--hostname-override={NODE}"),
            format!("--node-ip={SERVICE}"),
            format!("--node-labels={}", labels.join(",")),
            format!("--provider-id=aws:///{ZONE}/{instance}"),
        ])
        .env("PATH", programs.search_path()))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(Error::system(format!("write {}", path.display())))
}

/// Runs a command that must succeed.
fn run(command: &mut Command) -> Result<(), Error> {
    let what = format!("{command:?}");
    let output = command.output().map_err(Error::system(format!("run {what}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Refused {
        what,
        answer: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
