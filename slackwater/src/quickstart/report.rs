//! The closing tables: what each step cost, and what Kubernetes and EC2 hold.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use sandbox::ec2::Ec2;
use sandbox::kube::{ApiServer, AuditRecord};

/// Requests of one step of the story.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cost {
    /// POST, PATCH, PUT and DELETE of the controllers, events and leases apart.
    pub writes: usize,
    /// Single GETs of the controllers.
    pub gets: usize,
    /// Events that they wrote.
    pub events: usize,
    /// EC2 calls by action.
    pub ec2: BTreeMap<String, usize>,
}

/// Counts what the controllers ask for, step by step.
pub struct Meter {
    api: ApiServer,
    ec2: Ec2,
    person: &'static str,
    seen_api: u64,
    seen_ec2: u64,
    steps: Vec<(String, Cost)>,
}

impl Meter {
    /// Counts from now on; what `person` asks for is not counted.
    #[must_use]
    pub fn new(api: &ApiServer, ec2: &Ec2, person: &'static str) -> Self {
        let mut meter = Self {
            api: api.clone(),
            ec2: ec2.clone(),
            person,
            seen_api: 0,
            seen_ec2: 0,
            steps: Vec::new(),
        };
        meter.take();
        meter
    }

    /// Ends a step: what was asked for since the last one is its cost.
    pub fn step(&mut self, name: &str) -> Cost {
        let cost = self.take();
        self.steps.push((name.to_owned(), cost.clone()));
        cost
    }

    fn take(&mut self) -> Cost {
        let requests = self.api.audit_since(self.seen_api);
        let calls = self.ec2.calls_since(self.seen_ec2);
        self.seen_api = requests.last().map_or(self.seen_api, |request| request.number);
        self.seen_ec2 = calls.last().map_or(self.seen_ec2, |call| call.number);
        let mut cost = Cost::default();
        for request in requests.iter().filter(|request| request.user != self.person) {
            cost.count(request);
        }
        for call in calls {
            *cost.ec2.entry(call.action).or_default() += 1;
        }
        cost
    }

    /// The table of all steps.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["Step", "API writes", "API GETs", "Events", "EC2 calls"]);
        for (name, cost) in &self.steps {
            table.add_row([
                name.clone(),
                cost.writes.to_string(),
                cost.gets.to_string(),
                cost.events.to_string(),
                cost.ec2_text(),
            ]);
        }
        for column in 1..=3 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

impl Cost {
    /// Adds a request; those for leases, lists and watches cost nothing here.
    pub fn count(&mut self, request: &AuditRecord) {
        match (request.verb, request.resource.as_str()) {
            (_, "leases") | ("list" | "watch", _) => {}
            // Which kinds there are is asked once, at the start.
            ("get", "") => {}
            ("get", _) => self.gets += 1,
            (_, "events") => self.events += 1,
            (_, "selfsubjectaccessreviews") => {}
            _ => self.writes += 1,
        }
    }

    fn ec2_text(&self) -> String {
        if self.ec2.is_empty() {
            return "none".to_owned();
        }
        let parts: Vec<String> = self
            .ec2
            .iter()
            .map(|(action, count)| format!("{count} {action}"))
            .collect();
        parts.join(", ")
    }
}

/// The tag of what the driver has made in EC2.
const OF_DRIVER: &str = "ebs.csi.aws.com/cluster";

/// The table of what there is now, and how much it is; of EC2 what the driver has made.
#[must_use]
pub fn holdings(api: &ApiServer, ec2: &Ec2) -> (Table, usize) {
    let (mut table, mut count) = (Table::new(), 0);
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["Where", "What", "Count", "Which"]);
    let dump = api.dump();
    for (kind, resource) in [
        ("VolumeSnapshot", "volumesnapshots.snapshot.storage.k8s.io"),
        (
            "VolumeSnapshotContent",
            "volumesnapshotcontents.snapshot.storage.k8s.io",
        ),
        (
            "VolumeSnapshotClass",
            "volumesnapshotclasses.snapshot.storage.k8s.io",
        ),
        ("StorageClass", "storageclasses.storage.k8s.io"),
        ("PersistentVolumeClaim", "persistentvolumeclaims"),
        ("PersistentVolume", "persistentvolumes"),
        ("VolumeAttachment", "volumeattachments.storage.k8s.io"),
    ] {
        let names: Vec<&str> = dump[resource]
            .as_object()
            .map(|objects| {
                objects
                    .values()
                    .filter_map(|object| object["metadata"]["name"].as_str())
                    .collect()
            })
            .unwrap_or_default();
        add(&mut table, "Kubernetes", kind, &names);
        count += names.len();
    }
    let state = ec2.state();
    let is_made = |tags: &BTreeMap<String, String>| tags.contains_key(OF_DRIVER);
    let snapshots = state.snapshots.values().filter(|one| is_made(&one.tags));
    let snapshots: Vec<&str> = snapshots.map(|one| one.id.as_str()).collect();
    let volumes = state.volumes.values().filter(|one| is_made(&one.tags));
    let volumes: Vec<&str> = volumes.map(|one| one.id.as_str()).collect();
    add(&mut table, "EC2", "snapshot", &snapshots);
    add(&mut table, "EC2", "volume", &volumes);
    (table, count + snapshots.len() + volumes.len())
}

fn add(table: &mut Table, place: &str, what: &str, names: &[&str]) {
    let which = if names.is_empty() {
        "-".to_owned()
    } else {
        names.join(", ")
    };
    table.add_row([place.to_owned(), what.to_owned(), names.len().to_string(), which]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(verb: &'static str, resource: &str) -> AuditRecord {
        AuditRecord {
            number: 1,
            user: "snapshot-controller".to_owned(),
            verb,
            group: String::new(),
            resource: resource.to_owned(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
            code: 200,
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn requests_are_told_apart() {
        let mut cost = Cost::default();
        for (verb, resource) in [
            ("patch", "volumesnapshots"),
            ("get", "persistentvolumeclaims"),
            ("get", ""),
            ("create", "events"),
            ("update", "leases"),
            ("list", "volumesnapshots"),
            ("watch", "volumesnapshots"),
        ] {
            cost.count(&request(verb, resource));
        }
        assert_eq!(
            cost,
            Cost {
                writes: 1,
                gets: 1,
                events: 1,
                ec2: BTreeMap::new()
            }
        );
        assert_eq!(cost.ec2_text(), "none");
    }
}
