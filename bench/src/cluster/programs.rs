//! Sets of programs that do the same work, and how each is started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use conformance::Peers;
use slackwater::controller::Function;

use super::program::Program;

/// The driver in a process of its own.
pub const DRIVER: &str = "aws-ebs-csi-driver";

/// The programs that do what is measured.
const NAMES: [&str; 6] = [
    DRIVER,
    "snapshot-controller",
    "csi-snapshotter",
    "csi-resizer",
    "csi-provisioner",
    "csi-attacher",
];
/// The controllers of snapshots and sizes.
pub const SNAPSHOTS_AND_SIZES: [&str; 3] = ["snapshot-controller", "csi-snapshotter", "csi-resizer"];

/// Which programs, and how they are tuned. Written `LAYOUT=PATH[,PROGRAM=PATH]...`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Set {
    /// As it was written.
    pub name: String,
    layout: Layout,
    source: Source,
    /// Single programs from elsewhere: mixed sets.
    others: BTreeMap<String, Source>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Layout {
    /// `slackwater controller`.
    One,
    /// A process a program, with as many workers as asked for and no limit of requests.
    Apart,
    /// The same with upstream's defaults.
    Default,
}

/// Where programs come from.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Source {
    /// The binary beside this program.
    Ours,
    /// What conformance/peers builds.
    Upstream,
    /// A binary of ours, a folder, or a program.
    Path(PathBuf),
}

/// A program, and whether it is our binary, which wants the name of the program first.
struct Found {
    path: PathBuf,
    ours: bool,
}

impl Source {
    fn parse(text: &str) -> Self {
        match text {
            "ours" => Self::Ours,
            "upstream" => Self::Upstream,
            path => Self::Path(PathBuf::from(path)),
        }
    }

    /// The program of this name; none where the source has no driver.
    fn find(&self, name: &str) -> anyhow::Result<Option<Found>> {
        let found = |path, ours| Ok(Some(Found { path, ours }));
        match self {
            Self::Ours => found(crate::binary(None)?, true),
            Self::Upstream if name == DRIVER => Ok(None),
            Self::Upstream => found(Peers::find()?.path(name), false),
            Self::Path(folder) if folder.is_dir() => {
                let path = folder.join(name);
                match path.is_file() || name != DRIVER {
                    true => found(path, false),
                    false => Ok(None),
                }
            }
            // Our binary answers to all names; others are single programs.
            Self::Path(path) => {
                let ours = path.file_name().is_some_and(|file| file == "slackwater");
                found(path.clone(), ours)
            }
        }
    }
}

impl FromStr for Set {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut parts = text.split(',');
        let (layout, path) = parts
            .next()
            .and_then(|first| first.split_once('='))
            .context("a set is written LAYOUT=PATH; the layouts are one, apart and default")?;
        let layout = match layout {
            "one" => Layout::One,
            "apart" => Layout::Apart,
            "default" => Layout::Default,
            other => bail!("{other:?} is no layout; there are one, apart and default"),
        };
        let apart = match layout {
            Layout::One => &NAMES[..1],
            Layout::Apart | Layout::Default => &NAMES[..],
        };
        let mut others = BTreeMap::new();
        for part in parts {
            let (name, path) = part.split_once('=').context("a program is written NAME=PATH")?;
            if !apart.contains(&name) {
                bail!(
                    "{name:?} is no program of its own in this set; there are {}",
                    apart.join(", ")
                );
            }
            others.insert(name.to_owned(), Source::parse(path));
        }
        Ok(Self {
            name: text.to_owned(),
            layout,
            source: Source::parse(path),
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
    /// The controllers that take part.
    pub controllers: &'a [&'a str],
    /// Objects that each controller works on at the same time.
    pub workers: usize,
    /// Requests a second that upstream's programs may make.
    pub qps: u32,
    /// Whether the driver is to suppose EC2's request limits.
    pub has_limits: bool,
}

impl Set {
    /// Whether its programs have upstream's default flags, which make them slow.
    pub fn has_defaults(&self) -> bool {
        self.layout == Layout::Default
    }

    /// Starts its programs.
    ///
    /// # Errors
    /// When one is missing.
    pub fn start(&self, around: &Surroundings<'_>) -> anyhow::Result<Vec<Program>> {
        if self.layout != Layout::One {
            return NAMES
                .iter()
                .filter(|name| **name == DRIVER || around.controllers.contains(name))
                .map(|name| self.start_program(name, around))
                .collect();
        }
        let mut started = Vec::new();
        if self.others.contains_key(DRIVER) {
            started.push(self.start_program(DRIVER, around)?);
        }
        started.push(self.start_one(around, started.is_empty())?);
        Ok(started)
    }

    /// `slackwater controller`, with the driver in it or without.
    fn start_one(&self, around: &Surroundings<'_>, driver: bool) -> anyhow::Result<Program> {
        let functions: Vec<Function> = Function::ALL
            .into_iter()
            .filter(|function| match *function {
                Function::DRIVER => driver,
                function => around.controllers.contains(&function.name()),
            })
            .collect();
        let mut arguments = vec!["controller".to_owned()];
        let flags = match around.has_limits {
            true => crate::in_process::paced_flags,
            false => crate::in_process::flags,
        };
        arguments.extend(flags(&functions, around.workers));
        arguments.push(kubeconfig(around, "controller"));
        arguments.extend(ELECTION.map(str::to_owned));
        for function in functions {
            arguments.push(format!(
                "--{function}.http-endpoint=127.0.0.1:{}",
                sandbox::free_port()?
            ));
            match function {
                Function::DRIVER => {
                    arguments.push(format!("--{function}.endpoint=unix://{}", socket(around)))
                }
                _ if driver || function.name() == "snapshot-controller" => {}
                _ => arguments.push(format!("--{function}.csi-address={}", socket(around))),
            }
        }
        let found = self.find("controller")?;
        let environment = environment(around);
        Program::start("controller", &found.path, arguments, environment, around.folder)
    }

    fn start_program(&self, name: &str, around: &Surroundings<'_>) -> anyhow::Result<Program> {
        let found = self.find(name)?;
        let mut arguments = Vec::new();
        if found.ours {
            arguments.push(name.to_owned());
        }
        if name == DRIVER {
            arguments.push("controller".to_owned());
            arguments.push(format!("--endpoint=unix://{}", socket(around)));
            if !around.has_limits {
                arguments.push(crate::in_process::NO_LIMITS.to_owned());
            }
        } else {
            arguments.extend(ELECTION.map(str::to_owned));
            arguments.push(format!("--http-endpoint=127.0.0.1:{}", sandbox::free_port()?));
        }
        arguments.push(kubeconfig_of(around, name));
        if !matches!(name, DRIVER | "snapshot-controller") {
            arguments.push(format!("--csi-address={}", socket(around)));
            arguments.push("--timeout=60s".to_owned());
        }
        if self.layout == Layout::Apart && name != DRIVER {
            let workers = if name == "csi-resizer" {
                "workers"
            } else {
                "worker-threads"
            };
            arguments.push(format!("--{workers}={}", around.workers));
            if !found.ours {
                arguments.push(format!("--kube-api-qps={}", around.qps));
                arguments.push(format!("--kube-api-burst={}", around.qps * 2));
            }
        }
        Program::start(name, &found.path, arguments, environment(around), around.folder)
    }

    /// Where there is no driver, ours takes part.
    fn find(&self, name: &str) -> anyhow::Result<Found> {
        let source = self.others.get(name).unwrap_or(&self.source);
        let found = match source.find(name)? {
            Some(found) => Some(found),
            None => Source::Ours.find(name)?,
        };
        found.with_context(|| format!("{name} is nowhere"))
    }
}

const ELECTION: [&str; 2] = ["--leader-election", "--leader-election-namespace=kube-system"];

fn socket(around: &Surroundings<'_>) -> String {
    around.folder.join("csi.sock").display().to_string()
}

fn kubeconfig_of(around: &Surroundings<'_>, name: &str) -> String {
    kubeconfig(around, if name == DRIVER { "driver" } else { name })
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
        let set: Set = "apart=upstream,csi-snapshotter=/b/slackwater".parse().unwrap();
        assert_eq!((set.layout, &set.source), (Layout::Apart, &Source::Upstream));
        let other = &set.others["csi-snapshotter"];
        assert_eq!(other, &Source::Path(PathBuf::from("/b/slackwater")));
        assert!(other.find("csi-snapshotter").unwrap().unwrap().ours);
        assert!(
            set.source.find(DRIVER).unwrap().is_none(),
            "upstream's is no module"
        );
        let set: Set = "one=ours,aws-ebs-csi-driver=ours".parse().unwrap();
        assert_eq!(set.others[DRIVER], Source::Ours);
        for wrong in [
            "/a/slackwater",
            "four=/a",
            "one=/a,csi-resizer=/b",
            "apart=/a,kubectl=/b",
        ] {
            assert!(wrong.parse::<Set>().is_err(), "{wrong}");
        }
    }
}
