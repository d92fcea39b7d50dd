//! Ends processes when this one is gone, also when it was killed.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// Reads which processes there are; at the end of its input, which comes with the end of this process in whatever
/// way, kills those that are left and removes the folder.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
ids=
while read -r what id; do
  case $what in
    started) ids="$ids $id" ;;
    ended)
      left=
      for one in $ids; do
        [ "$one" = "$id" ] || left="$left $one"
      done
      ids=$left
      ;;
  esac
done
for one in $ids; do
  kill -9 "$one" 2>/dev/null
done
[ -z "$1" ] || rm -rf "$1"
"#;

/// The keeper of this process's children. Clones share it.
#[derive(Clone, Debug)]
pub struct Keeper {
    input: Arc<Mutex<ChildStdin>>,
}

impl Keeper {
    /// Starts it. `folder` is removed at the end, if one is given.
    ///
    /// # Errors
    /// When there is no `sh`.
    pub fn start(folder: Option<&Path>) -> Result<Self, Error> {
        let mut keeper = Command::new("sh")
            .args(["-c", SCRIPT, "keeper"])
            .arg(folder.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Error::system("start sh"))?;
        let input = keeper.stdin.take().ok_or_else(|| Error::Missing {
            name: "the keeper's input".to_owned(),
            command: "sh".to_owned(),
        })?;
        Ok(Self {
            input: Arc::new(Mutex::new(input)),
        })
    }

    pub(crate) fn started(&self, id: u32) {
        self.tell("started", id);
    }

    pub(crate) fn ended(&self, id: u32) {
        self.tell("ended", id);
    }

    fn tell(&self, what: &str, id: u32) {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a keeper only the tidying after a crash is lost.
        let _ = writeln!(input, "{what} {id}");
    }
}
