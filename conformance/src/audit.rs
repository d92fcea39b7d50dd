//! What the API server wrote down of each request.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use crate::Error;

/// The audit log of an API server.
#[derive(Clone, Debug)]
pub struct Audit {
    path: PathBuf,
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who asked.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// API group; empty for core, and where no resource was asked for.
    pub group: String,
    /// Plural name; empty where no resource was asked for.
    pub resource: String,
    /// Subresource, as `status`; empty for the object itself.
    pub subresource: String,
    /// Namespace; empty where there is none.
    pub namespace: String,
    /// Name of the object; empty for lists, watches and creations.
    pub name: String,
    /// HTTP status; 0 where the API server says none.
    pub code: u16,
    /// The reason of a refusal, as `Forbidden` or `Expired`.
    pub reason: String,
    /// Path and query.
    pub uri: String,
    /// What the client says it is.
    pub user_agent: String,
    /// When it came.
    pub received_at: Timestamp,
    /// When it was answered; of a watch, when it began.
    pub answered_at: Timestamp,
}

impl Record {
    /// Whether it was refused for lack of rights.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.code == 403
    }

    /// Resource and subresource, as `volumesnapshots/status`.
    #[must_use]
    pub fn what(&self) -> String {
        match self.subresource.as_str() {
            "" => self.resource.clone(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    /// Verb and resource, as `patch volumesnapshots/status`.
    #[must_use]
    pub fn action(&self) -> String {
        format!("{} {}", self.verb, self.what())
    }
}

impl Audit {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The present end.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len()))
    }

    /// All requests that were answered after a mark, each once, in the order of the answers.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn since(&self, mark: Mark) -> Result<Vec<Record>, Error> {
        let mut records: Vec<Record> = Vec::new();
        self.read(mark, |record| records.push(record))?;
        Ok(records)
    }

    /// Hands over all requests that were answered after a mark, each once; the new end. For long logs.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read(&self, mark: Mark, mut take: impl FnMut(Record)) -> Result<Mark, Error> {
        let system = || Error::system(format!("read {}", self.path.display()));
        let mut file = File::open(&self.path).map_err(system())?;
        file.seek(SeekFrom::Start(mark.0)).map_err(system())?;
        let mut lines = BufReader::new(file);
        let (mut line, mut end) = (String::new(), mark.0);
        // Watches are written down when they begin and when they end.
        let mut begun = BTreeMap::new();
        loop {
            line.clear();
            let length = lines.read_line(&mut line).map_err(system())?;
            // The last line may be half written.
            if !line.ends_with('\n') {
                return Ok(Mark(end));
            }
            end += length as u64;
            let Ok(entry) = serde_json::from_str::<Entry>(&line) else {
                continue;
            };
            match entry.stage.as_str() {
                "ResponseStarted" => {
                    begun.insert(entry.audit_id.clone(), ());
                    take(entry.record());
                }
                // Of a watch that began before the mark only the end is seen: it is not a request since then.
                _ if begun.remove(&entry.audit_id).is_some() || entry.is_end_of_watch() => {}
                _ => take(entry.record()),
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: EntryUser,
    user_agent: String,
    object_ref: ObjectRef,
    response_status: ResponseStatus,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EntryUser {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
    reason: String,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            audit_id: String::new(),
            stage: String::new(),
            request_uri: String::new(),
            verb: String::new(),
            user: EntryUser::default(),
            user_agent: String::new(),
            object_ref: ObjectRef::default(),
            response_status: ResponseStatus::default(),
            request_received_timestamp: Timestamp::UNIX_EPOCH,
            stage_timestamp: Timestamp::UNIX_EPOCH,
        }
    }
}

impl Entry {
    /// A watch that was let in is written down at its beginning; one that was refused only at its end.
    fn is_end_of_watch(&self) -> bool {
        self.verb == "watch" && self.response_status.code == 200
    }

    fn record(self) -> Record {
        Record {
            user: self.user.username,
            verb: self.verb,
            group: self.object_ref.api_group,
            resource: self.object_ref.resource,
            subresource: self.object_ref.subresource,
            namespace: self.object_ref.namespace,
            name: self.object_ref.name,
            code: self.response_status.code,
            reason: self.response_status.reason,
            uri: self.request_uri,
            user_agent: self.user_agent,
            received_at: self.request_received_timestamp,
            answered_at: self.stage_timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        r#"{"auditID":"1","stage":"ResponseComplete","requestURI":"/api/v1/pods","verb":"list","user":{"username":"a"},"#,
        r#""objectRef":{"resource":"pods"},"responseStatus":{"code":403,"reason":"Forbidden"},"#,
        r#""requestReceivedTimestamp":"2026-01-01T00:00:00.000001Z","stageTimestamp":"2026-01-01T00:00:00.5Z"}"#,
        "\n",
        r#"{"auditID":"2","stage":"ResponseStarted","verb":"watch","responseStatus":{"code":200}}"#,
        "\n",
        r#"{"auditID":"2","stage":"ResponseComplete","verb":"watch","responseStatus":{"code":200}}"#,
        "\n",
        r#"{"auditID":"3","stage":"ResponseComplete","verb":"watch","responseStatus":{"code":410}}"#,
        "\n",
        r#"{"auditID":"4","stage":"Respon"#,
    );

    #[test]
    fn each_request_is_read_once_and_half_a_line_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, LINES).unwrap();
        let audit = Audit::new(&path);
        let records = audit.since(Mark::default()).unwrap();
        let seen: Vec<_> = records
            .iter()
            .map(|record| (record.verb.as_str(), record.code))
            .collect();
        assert_eq!(seen, [("list", 403), ("watch", 200), ("watch", 410)]);
        assert!(records[0].is_denied());
        assert_eq!(records[0].action(), "list pods");
        let end = audit.read(Mark::default(), drop).unwrap();
        assert_eq!(audit.since(end).unwrap(), []);
    }
}
