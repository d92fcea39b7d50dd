//! Modes of Slackwater, or programs with the same flags, as processes of their own.

use std::path::{Path, PathBuf};

use crate::{Ec2Process, Error, Keeper, Launch, Process};

/// What the processes of one suite share: a folder for the socket and the logs, and the EC2.
#[derive(Debug)]
pub struct Suite {
    folder: PathBuf,
    keeper: Keeper,
    ec2_endpoint: String,
}

impl Suite {
    /// A suite with its folder, which is made, below `folder`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(keeper: &Keeper, folder: &Path, name: &str, ec2: &Ec2Process) -> Result<Self, Error> {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).map_err(Error::system(format!("make {}", folder.display())))?;
        Ok(Self {
            folder,
            keeper: keeper.clone(),
            ec2_endpoint: ec2.endpoint().to_owned(),
        })
    }

    /// Where the logs are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The socket that the driver is to serve.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("csi.sock")
    }

    /// A program with arguments and all that it must know of EC2 and its pod.
    #[must_use]
    pub fn launch(&self, name: &str, program: &Path, args: &[&str]) -> Launch {
        Launch::new(name, program)
            .args(args)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_ENDPOINT", &self.ec2_endpoint)
            .env("AWS_ACCESS_KEY_ID", "sandbox")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("POD_NAMESPACE", "kube-system")
    }

    /// The driver's controller, on the socket of this suite.
    #[must_use]
    pub fn driver(&self, program: &Path) -> Launch {
        let endpoint = format!("--endpoint=unix://{}", self.socket().display());
        self.launch(
            "aws-ebs-csi-driver",
            program,
            &["aws-ebs-csi-driver", "controller", &endpoint],
        )
    }

    /// A mode of the binary that speaks to the API server as `kubeconfig`'s user.
    #[must_use]
    pub fn mode(&self, name: &str, program: &Path, kubeconfig: &Path, args: &[&str]) -> Launch {
        let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
        self.launch(name, program, &[name, &kubeconfig]).args(args)
    }

    /// A sidecar: a mode that speaks to the driver on the socket too.
    #[must_use]
    pub fn sidecar(&self, name: &str, program: &Path, kubeconfig: &Path, args: &[&str]) -> Launch {
        let address = format!("--csi-address={}", self.socket().display());
        self.mode(name, program, kubeconfig, args).args([address])
    }

    /// The same program under another host name, which is its identity in elections. Needs the right to make
    /// namespaces, as root has.
    #[must_use]
    pub fn on_host(host: &str, launch: Launch) -> Launch {
        let script = r#"echo "$0" >/proc/sys/kernel/hostname && exec "$@""#;
        let mut args = vec![
            "--uts".into(),
            "sh".into(),
            "-c".into(),
            script.into(),
            host.into(),
        ];
        args.push(launch.program.into_os_string());
        args.extend(launch.args);
        Launch {
            name: format!("{}-{host}", launch.name),
            program: PathBuf::from("unshare"),
            args,
            ..launch
        }
    }

    /// Starts a process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, launch: &Launch) -> Result<Process, Error> {
        Process::start(&self.keeper, &self.folder, launch)
    }
}
