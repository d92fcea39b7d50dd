//! `bench trace`: runs a program and writes the name of each of its functions when it is first called.
//!
//! A breakpoint stands at the start of every function, and goes when it is met: each costs one stop. The program is
//! followed from its first instruction; its end is the end of this process, and the other way round.

use std::ffi::OsString;
use std::path::PathBuf;

/// The command line of `bench trace`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// File for the names, one a line
    #[arg(long)]
    into: PathBuf,
    /// The program, with its symbols
    program: PathBuf,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn run(_: &Args) -> anyhow::Result<()> {
    anyhow::bail!("functions can be followed on Linux on x86-64 only")
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use self::breakpoints::run;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod breakpoints {
    use std::collections::BTreeMap;
    use std::fs::{self, File, OpenOptions};
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use anyhow::{Context as _, bail};
    use nix::sys::ptrace::{self, Event, Options};
    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;

    use super::super::symbols;
    use super::Args;

    /// `int3`.
    const BREAKPOINT: u8 = 0xcc;

    /// Runs the program until it ends.
    ///
    /// # Errors
    /// When it has no symbols, or the system refuses to have it followed.
    pub fn run(args: &Args) -> anyhow::Result<()> {
        let program = fs::canonicalize(&args.program)?;
        let functions = symbols::functions(&program)?;
        let names = File::create(&args.into).with_context(|| args.into.display().to_string())?;
        // Not started before it is followed.
        let mut child = Command::new("sh")
            .args(["-c", r#"read begin; exec "$0" "$@""#])
            .arg(&program)
            .args(&args.arguments)
            .stdin(Stdio::piped())
            .spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let options = Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
        ptrace::seize(pid, options).context("the system refuses to have the program followed")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(b"\n")?;
        }
        follow(pid, &program, &functions, &names)
    }

    fn follow(
        main: Pid,
        program: &Path,
        functions: &BTreeMap<u64, String>,
        mut names: &File,
    ) -> anyhow::Result<()> {
        let mut armed: Option<Armed> = None;
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL))? {
                WaitStatus::Exited(pid, 0) if pid == main => return Ok(()),
                WaitStatus::Exited(pid, code) if pid == main => bail!("the program ended with status {code}"),
                WaitStatus::Signaled(pid, signal, _) if pid == main => {
                    bail!("the program ended by signal {signal}")
                }
                WaitStatus::PtraceEvent(pid, _, event) => {
                    if event == Event::PTRACE_EVENT_EXEC as i32 {
                        armed = Armed::new(pid, program, functions)?;
                    }
                    ptrace::cont(pid, None)?;
                }
                WaitStatus::Stopped(pid, signal) => {
                    let met = match (&mut armed, signal) {
                        (Some(armed), Signal::SIGTRAP) => armed.meet(pid)?,
                        _ => Met::Nothing,
                    };
                    if let Met::First(function) = met {
                        writeln!(names, "{function}")?;
                    }
                    let passed_on = matches!(met, Met::Nothing).then_some(signal);
                    ptrace::cont(pid, passed_on)?;
                }
                _ => {}
            }
        }
    }

    /// Where a thread stopped.
    enum Met<'a> {
        /// At a function that was not called before.
        First(&'a str),
        /// At one that another thread came to at the same time.
        Again,
        /// Not at a breakpoint.
        Nothing,
    }

    /// A program with its breakpoints.
    struct Armed<'a> {
        memory: File,
        /// By the address of the function: its name, and the byte in the place of which the breakpoint stands,
        /// until it is met.
        functions: BTreeMap<u64, (&'a str, Option<u8>)>,
    }

    impl<'a> Armed<'a> {
        /// `None` when what runs is the shell still.
        fn new(
            pid: Pid,
            program: &Path,
            functions: &'a BTreeMap<u64, String>,
        ) -> anyhow::Result<Option<Self>> {
            let Some(base) = base(pid, program)? else {
                return Ok(None);
            };
            let memory = OpenOptions::new()
                .read(true)
                .write(true)
                .open(format!("/proc/{pid}/mem"))?;
            let mut armed = BTreeMap::new();
            for (address, name) in functions {
                let (at, mut byte) = (base + address, [0]);
                memory.read_exact_at(&mut byte, at)?;
                memory.write_all_at(&[BREAKPOINT], at)?;
                armed.insert(at, (name.as_str(), Some(byte[0])));
            }
            Ok(Some(Self {
                memory,
                functions: armed,
            }))
        }

        /// What a thread met that stopped with SIGTRAP. It will go on as if nothing had been there.
        fn meet(&mut self, thread: Pid) -> anyhow::Result<Met<'a>> {
            let mut registers = ptrace::getregs(thread)?;
            let at = registers.rip - 1;
            let Some((name, byte)) = self.functions.get_mut(&at) else {
                return Ok(Met::Nothing);
            };
            registers.rip = at;
            ptrace::setregs(thread, registers)?;
            let Some(byte) = byte.take() else {
                return Ok(Met::Again);
            };
            self.memory.write_all_at(&[byte], at)?;
            Ok(Met::First(name))
        }
    }

    /// Where the program was put: what its addresses are counted from.
    fn base(pid: Pid, program: &Path) -> anyhow::Result<Option<u64>> {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let first = maps
            .lines()
            .find(|line| line.ends_with(&format!(" {}", program.display())));
        let start = first.and_then(|line| line.split('-').next());
        let start = start.map(|start| u64::from_str_radix(start, 16)).transpose();
        start.context("reading where the program was put")
    }
}
