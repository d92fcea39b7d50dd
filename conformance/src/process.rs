//! A process with a log of its own that ends when it is dropped.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, Keeper, until};

/// Ticks of the CPU counters a second, the same on every Linux.
const TICKS: u32 = 100;
/// How many bytes of a log an error shows.
const TAIL: usize = 3000;

/// What to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Name of the process and of its log.
    pub name: String,
    /// The binary.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables added to the environment.
    pub env: Vec<(String, String)>,
    /// Whether its standard input and output are pipes to here, for [`Process::pipes`].
    pub piped: bool,
}

impl Launch {
    /// A program without arguments.
    #[must_use]
    pub fn new(name: &str, program: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            piped: false,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time since its start, user and system.
    pub cpu: Duration,
    /// Resident memory now.
    pub resident_bytes: u64,
    /// The most resident memory so far.
    pub peak_bytes: u64,
}

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    keeper: Keeper,
    gone: bool,
}

impl Process {
    /// Starts it; standard output and error go to `NAME.log` in `folder`, at the end when that file exists.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(keeper: &Keeper, folder: &Path, launch: &Launch) -> Result<Self, Error> {
        let log = folder.join(format!("{}.log", launch.name));
        let open = || {
            let file = File::options().create(true).append(true).open(&log);
            file.map_err(Error::system(format!("write {}", log.display())))
        };
        let pipe = |otherwise: Stdio| if launch.piped { Stdio::piped() } else { otherwise };
        let child = Command::new(&launch.program)
            .args(&launch.args)
            .env_remove("KUBECONFIG")
            .env_remove("NODE_NAME")
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .stdin(pipe(Stdio::null()))
            .stdout(pipe(open()?.into()))
            .stderr(open()?)
            .spawn()
            .map_err(Error::system(format!("start {}", launch.program.display())))?;
        keeper.started(child.id());
        Ok(Self {
            name: launch.name.clone(),
            child,
            log,
            keeper: keeper.clone(),
            gone: false,
        })
    }

    /// Its ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its input and output, once, when it was launched with pipes.
    pub fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        self.child.stdin.take().zip(self.child.stdout.take())
    }

    /// All that it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let mut from = log.len().saturating_sub(TAIL);
        while !log.is_char_boundary(from) {
            from += 1;
        }
        log[from..].to_owned()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        if !self.gone {
            self.gone = true;
            self.keeper.ended(self.id());
        }
        Some(status)
    }

    /// An error when it has ended.
    ///
    /// # Errors
    /// [`Error::Ended`] with the end of its log.
    pub fn check(&mut self) -> Result<(), Error> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(Error::Ended {
                name: self.name.clone(),
                status: status.to_string(),
                log: self.log.clone(),
                tail: self.log_tail(),
            }),
        }
    }

    /// Kills it at once, as `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.gone = true;
            self.keeper.ended(self.id());
        }
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_some() {
            return;
        }
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            let _ = kill_process(id, signal);
        }
    }

    /// Asks it to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// [`Error::Late`] when it is still there after `patience`.
    pub async fn terminate(&mut self, patience: Duration) -> Result<ExitStatus, Error> {
        self.signal(Signal::TERM);
        self.wait(patience).await
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`Error::Late`] when it is still there after `patience`.
    pub async fn wait(&mut self, patience: Duration) -> Result<ExitStatus, Error> {
        let what = format!("{} ends", self.name);
        until(&what, patience, async || self.ended()).await
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn usage(&self) -> Result<Usage, Error> {
        Usage::of(self.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A test has failed, and its log goes with it.
            let status = self
                .ended()
                .map_or("runs".to_owned(), |status| status.to_string());
            let _ = writeln!(std::io::stderr(), "{} ({status}): {}", self.name, self.log_tail());
        }
        self.kill();
    }
}

impl Usage {
    /// What the process with this ID has used so far.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(id: u32) -> Result<Self, Error> {
        let read = |file: &str| {
            let path = format!("/proc/{id}/{file}");
            std::fs::read_to_string(&path).map_err(Error::system(format!("read {path}")))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        // The name of the program, in parentheses, may hold spaces; user and system time are the 12th and 13th after it.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u32 = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u32>().ok())
            .sum();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
            kib.unwrap_or_default() * 1024
        };
        Ok(Self {
            cpu: Duration::from_secs(1) * ticks / TICKS,
            resident_bytes: bytes("VmRSS:"),
            peak_bytes: bytes("VmHWM:"),
        })
    }
}

/// A port on loopback of which nobody else was told.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16, Error> {
    sandbox::free_port().map_err(Error::system("find a free port on loopback"))
}
