//! The record of every request.

use std::collections::VecDeque;

use jiff::Timestamp;

/// How many records are kept.
const LIMIT: usize = 200_000;

/// One request and its answer's code. A watch is recorded when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Counts from 1.
    pub number: u64,
    /// Who asked.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// API group, empty for core.
    pub group: String,
    /// Plural name; empty for requests of no resource (discovery, health).
    pub resource: String,
    /// `status` for example; mostly empty.
    pub subresource: String,
    /// Namespace; empty for objects of the cluster.
    pub namespace: String,
    /// Name of the object; for requests of no resource the path.
    pub name: String,
    /// HTTP code of the answer.
    pub code: u16,
    /// When it was answered.
    pub at: Timestamp,
}

/// The latest records, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    records: VecDeque<AuditRecord>,
    count: u64,
}

impl Audit {
    /// Adds a record; its number is set here.
    pub fn record(&mut self, mut record: AuditRecord) {
        self.count += 1;
        record.number = self.count;
        if self.records.len() == LIMIT {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// The records with a number above `number`.
    pub fn since(&self, number: u64) -> Vec<AuditRecord> {
        let start = self.records.partition_point(|record| record.number <= number);
        self.records.range(start..).cloned().collect()
    }
}
