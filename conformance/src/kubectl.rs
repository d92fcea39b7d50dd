//! The real `kubectl`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// `kubectl` with a kubeconfig.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    folder: PathBuf,
    editor: String,
}

/// What it printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Whether it ended with 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Kubectl {
    pub(crate) fn new(program: PathBuf, kubeconfig: &Path, folder: &Path) -> Self {
        Self {
            program,
            kubeconfig: kubeconfig.to_owned(),
            folder: folder.to_owned(),
            editor: String::new(),
        }
    }

    /// The same, whose `kubectl edit` runs this command on the file.
    #[must_use]
    pub fn with_editor(&self, command: &str) -> Self {
        Self {
            editor: command.to_owned(),
            ..self.clone()
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> Result<Output, Error> {
        self.run_with(args, "")
    }

    /// Runs it with this standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run_with(&self, args: &[&str], input: &str) -> Result<Output, Error> {
        let start = || {
            let mut child = Command::new(&self.program)
                .args(args)
                .env("KUBECONFIG", &self.kubeconfig)
                .env("KUBECACHEDIR", self.folder.join("kubectl-cache"))
                .env("HOME", &self.folder)
                .env("KUBE_EDITOR", &self.editor)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                // It may end without reading all of it.
                let _ = stdin.write_all(input.as_bytes());
            }
            child.wait_with_output()
        };
        let output = start().map_err(Error::system(format!("run {}", self.program.display())))?;
        Ok(Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs it; its standard output.
    ///
    /// # Errors
    /// [`Error::Refused`] with its standard error when it does not end with 0.
    pub fn ok(&self, args: &[&str]) -> Result<String, Error> {
        self.ok_with(args, "")
    }

    /// Runs it with this standard input; its standard output.
    ///
    /// # Errors
    /// [`Error::Refused`] with its standard error when it does not end with 0.
    pub fn ok_with(&self, args: &[&str], input: &str) -> Result<String, Error> {
        let output = self.run_with(args, input)?;
        if output.success {
            return Ok(output.stdout);
        }
        Err(Error::Refused {
            what: format!("kubectl {}", args.join(" ")),
            answer: output.stderr,
        })
    }
}
