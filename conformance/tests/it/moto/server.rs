//! moto as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The account that moto plays: the sandbox's.
const ACCOUNT: &str = "111122223333";

/// A running moto. It ends when this is dropped, or when this process ends in whatever way: its standard input ends
/// then.
pub struct Moto {
    pub url: String,
    process: Child,
}

/// The Python in which moto is installed, if it is.
pub fn python() -> Option<PathBuf> {
    let folder = match std::env::var_os("SLACKWATER_MOTO") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/moto")),
    };
    Some(folder.join("bin/python")).filter(|python| python.exists())
}

impl Moto {
    pub fn start(python: PathBuf) -> Self {
        let mut process = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/moto/serve.py"))
            .env("MOTO_ACCOUNT_ID", ACCOUNT)
            .env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("cannot start moto");
        let mut port = String::new();
        let output = process.stdout.take().expect("a pipe was asked for");
        BufReader::new(output)
            .read_line(&mut port)
            .expect("moto says its port");
        let moto = Self {
            url: format!("http://127.0.0.1:{}", port.trim()),
            process,
        };
        assert!(!port.trim().is_empty(), "moto ended at its start");
        moto
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
