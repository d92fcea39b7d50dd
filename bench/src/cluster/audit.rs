//! Counts what the API server has written down.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;

use crate::reading::RequestKind;

/// An audit log, read to some place.
pub struct Audit {
    path: PathBuf,
    end: u64,
    counts: BTreeMap<RequestKind, u64>,
    refused: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: Status,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

impl Audit {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            end: 0,
            counts: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// How many requests there were so far, those for leases apart. A watch counts when it ends.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read(&mut self) -> anyhow::Result<BTreeMap<RequestKind, u64>> {
        let mut file = File::open(&self.path).with_context(|| format!("reading {}", self.path.display()))?;
        file.seek(SeekFrom::Start(self.end))?;
        let mut lines = BufReader::new(file);
        let mut line = String::new();
        loop {
            line.clear();
            let length = lines.read_line(&mut line)?;
            // The last line may be half written.
            if !line.ends_with('\n') {
                return Ok(self.counts.clone());
            }
            self.end += length as u64;
            self.count(&line);
        }
    }

    /// Requests of these users that were answered with an error, `user verb resource code`.
    pub fn refused(&self, of: impl Fn(&str) -> bool) -> BTreeMap<String, u64> {
        let by_user = |what: &String| of(what.split(' ').next().unwrap_or_default());
        let refused = self.refused.iter().filter(|(what, _)| by_user(what));
        refused.map(|(what, count)| (what.clone(), *count)).collect()
    }

    fn count(&mut self, line: &str) {
        let Ok(entry) = serde_json::from_str::<Entry>(line) else {
            return;
        };
        let object = entry.object_ref;
        if object.resource == "leases" || object.resource.is_empty() {
            return;
        }
        let resource = match object.subresource.as_str() {
            "" => object.resource,
            subresource => format!("{}/{subresource}", object.resource),
        };
        if entry.response_status.code >= 400 {
            let code = entry.response_status.code;
            let refused = format!("{} {} {resource} {code}", entry.user.username, entry.verb);
            *self.refused.entry(refused).or_default() += 1;
        }
        let kind = RequestKind {
            user: entry.user.username,
            verb: entry.verb,
            resource,
        };
        *self.counts.entry(kind).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_counts_once_and_half_a_line_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let entry = |resource: &str, code: u16| {
            format!(
                r#"{{"verb":"patch","user":{{"username":"u"}},"objectRef":{{"resource":"{resource}","subresource":"status"}},"responseStatus":{{"code":{code}}}}}"#
            )
        };
        let lines = [entry("pods", 200), entry("leases", 200), entry("pods", 409)].join("\n");
        std::fs::write(&path, &lines).unwrap();
        let mut audit = Audit::new(path.clone());
        let total = |counts: BTreeMap<RequestKind, u64>| counts.values().sum::<u64>();
        assert_eq!(total(audit.read().unwrap()), 1);
        std::fs::write(&path, lines + "\n").unwrap();
        assert_eq!(total(audit.read().unwrap()), 2);
        assert_eq!(total(audit.read().unwrap()), 2);
        assert_eq!(audit.refused(|user| user == "u")["u patch pods/status 409"], 1);
        assert!(audit.refused(|user| user == "v").is_empty());
    }
}
