//! Sets of programs that do the same work, and how each is started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};

use super::program::{Program, free_port};

/// The programs of upstream that do what is measured.
pub const NAMES: [&str; 4] = [
    "aws-ebs-csi-driver",
    "snapshot-controller",
    "csi-snapshotter",
    "csi-resizer",
];

/// Which programs, and how they are tuned. Written `LAYOUT=PATH[,PROGRAM=PATH]...`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Set {
    /// As it was written, without the paths.
    pub name: String,
    layout: Layout,
    path: PathBuf,
    /// Single programs from elsewhere: mixed sets.
    others: BTreeMap<String, PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Layout {
    /// `slackwater controller`.
    One,
    /// A process a program, with as many workers as asked for and no limit of requests.
    Four,
    /// The same with upstream's defaults.
    Default,
}

impl FromStr for Set {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut parts = text.split(',');
        let (layout_name, path) = parts
            .next()
            .and_then(|first| first.split_once('='))
            .context("a set is written LAYOUT=PATH; the layouts are one, four and default")?;
        let layout = match layout_name {
            "one" => Layout::One,
            "four" => Layout::Four,
            "default" => Layout::Default,
            other => bail!("{other:?} is no layout; there are one, four and default"),
        };
        let mut others = BTreeMap::new();
        for part in parts {
            let (name, path) = part.split_once('=').context("a program is written NAME=PATH")?;
            if layout == Layout::One || !NAMES.contains(&name) {
                bail!(
                    "{name:?} is no program of this set; there are {}",
                    NAMES.join(", ")
                );
            }
            others.insert(name.to_owned(), PathBuf::from(path));
        }
        let path = PathBuf::from(path);
        let kind = if path.is_dir() { "folder" } else { "slackwater" };
        let mut name = format!("{kind}, {layout_name}");
        for other in others.keys() {
            name = format!("{name}, {other} from elsewhere");
        }
        Ok(Self {
            name,
            layout,
            path,
            others,
        })
    }
}

/// What the programs are given.
pub struct Surroundings<'a> {
    /// The kubeconfig of a user of the API server.
    pub kubeconfig: &'a dyn Fn(&str) -> PathBuf,
    /// URL of EC2.
    pub ec2: &'a str,
    /// Where the socket and the logs go.
    pub folder: &'a Path,
    /// Objects that each controller works on at the same time.
    pub workers: usize,
    /// Requests a second that upstream's programs may make.
    pub qps: u32,
}

impl Set {
    /// Whether its programs have upstream's default flags, which make them slow.
    pub fn has_defaults(&self) -> bool {
        self.layout == Layout::Default
    }

    /// Whether a program of it is not of our binary.
    pub fn is_upstream(&self, name: &str) -> bool {
        let path = self.others.get(name).unwrap_or(&self.path);
        self.layout != Layout::One && !is_ours(path)
    }

    /// Starts its programs.
    ///
    /// # Errors
    /// When one is missing.
    pub fn start(&self, around: &Surroundings<'_>) -> anyhow::Result<Vec<Program>> {
        if self.layout == Layout::One {
            return Ok(vec![self.start_one(around)?]);
        }
        NAMES
            .iter()
            .map(|name| self.start_program(name, around))
            .collect()
    }

    fn start_one(&self, around: &Surroundings<'_>) -> anyhow::Result<Program> {
        let mut arguments = vec!["controller".to_owned()];
        arguments.extend(crate::in_process::flags(around.workers));
        arguments.push(kubeconfig(around, "controller"));
        arguments.extend(ELECTION.map(str::to_owned));
        arguments.push(format!("--driver.endpoint={}", socket(around)));
        for function in slackwater::controller::Function::ALL {
            arguments.push(format!("--{function}.http-endpoint=127.0.0.1:{}", free_port()?));
        }
        Program::start(
            "controller",
            &self.path,
            arguments,
            environment(around),
            around.folder,
        )
    }

    fn start_program(&self, name: &str, around: &Surroundings<'_>) -> anyhow::Result<Program> {
        let path = self.others.get(name).unwrap_or(&self.path);
        let (path, mut arguments) = match path.is_dir() {
            true => (path.join(name), Vec::new()),
            false if is_ours(path) => (path.clone(), vec![name.to_owned()]),
            false => (path.clone(), Vec::new()),
        };
        let ours = arguments.len() == 1;
        arguments.push(kubeconfig_of(around, name));
        if name == "aws-ebs-csi-driver" {
            arguments.insert(arguments.len() - 1, "controller".to_owned());
            arguments.push(format!("--endpoint={}", socket(around)));
        } else {
            arguments.extend(ELECTION.map(str::to_owned));
            arguments.push(format!("--http-endpoint=127.0.0.1:{}", free_port()?));
        }
        if matches!(name, "csi-snapshotter" | "csi-resizer") {
            arguments.push(format!(
                "--csi-address={}",
                around.folder.join("csi.sock").display()
            ));
            arguments.push("--timeout=60s".to_owned());
        }
        if self.layout == Layout::Four && name != "aws-ebs-csi-driver" {
            let workers = if name == "csi-resizer" {
                "workers"
            } else {
                "worker-threads"
            };
            arguments.push(format!("--{workers}={}", around.workers));
            if !ours {
                arguments.push(format!("--kube-api-qps={}", around.qps));
                arguments.push(format!("--kube-api-burst={}", around.qps * 2));
            }
        }
        Program::start(name, &path, arguments, environment(around), around.folder)
    }
}

/// Our binary answers to all names; others are single programs.
fn is_ours(path: &Path) -> bool {
    path.file_name().is_some_and(|file| file == "slackwater")
}

const ELECTION: [&str; 2] = ["--leader-election", "--leader-election-namespace=kube-system"];

fn socket(around: &Surroundings<'_>) -> String {
    format!("unix://{}", around.folder.join("csi.sock").display())
}

fn kubeconfig_of(around: &Surroundings<'_>, name: &str) -> String {
    kubeconfig(
        around,
        if name == "aws-ebs-csi-driver" {
            "driver"
        } else {
            name
        },
    )
}

fn kubeconfig(around: &Surroundings<'_>, user: &str) -> String {
    format!("--kubeconfig={}", (around.kubeconfig)(user).display())
}

fn environment<'a>(around: &Surroundings<'a>) -> [(&'static str, &'a str); 5] {
    [
        ("AWS_EC2_ENDPOINT", around.ec2),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "sandbox"),
        ("AWS_SECRET_ACCESS_KEY", "sandbox"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read() {
        let set: Set = "four=/a/slackwater,csi-snapshotter=/b/csi-snapshotter"
            .parse()
            .unwrap();
        assert_eq!(set.layout, Layout::Four);
        assert_eq!(set.others["csi-snapshotter"], PathBuf::from("/b/csi-snapshotter"));
        assert_eq!(set.name, "slackwater, four, csi-snapshotter from elsewhere");
        for wrong in [
            "/a/slackwater",
            "five=/a",
            "one=/a,csi-resizer=/b",
            "four=/a,kubectl=/b",
        ] {
            assert!(wrong.parse::<Set>().is_err(), "{wrong}");
        }
    }
}
