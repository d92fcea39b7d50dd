//! What our processes asked of the API server: how often, and with which of their rights.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use conformance::{Mark, Record, until};

use crate::journey::{FUNCTIONS, LEASES, Stage};
use crate::shared::PATIENCE;

/// So long without a request, and the work is done.
const SILENCE: Duration = Duration::from_secs(3);

/// Requests of all our processes for one operation. Watches, leases and access reviews are not counted.
#[derive(Debug)]
pub struct Cost {
    /// By action, without events.
    pub requests: BTreeMap<String, usize>,
    /// Objects and names, one for each event that was written.
    pub events: Vec<String>,
    /// Calls of EC2 by action, without those that only read.
    pub ec2: BTreeMap<String, u64>,
}

impl Cost {
    /// Fails, and shows all, when the numbers differ.
    pub fn must_be(&self, what: &str, requests: usize, events: usize, ec2: &[(&str, u64)]) {
        let ec2: BTreeMap<String, u64> = ec2
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect();
        let counted = (self.total(), self.events.len(), &self.ec2);
        assert_eq!(
            counted,
            (requests, events, &ec2),
            "requests, events and EC2 calls of {what}: {self:#?}"
        );
    }

    pub fn total(&self) -> usize {
        self.requests.values().sum()
    }
}

/// Where a count begins.
pub struct Begin {
    mark: Mark,
    ec2: BTreeMap<String, u64>,
}

impl Stage {
    pub fn begin(&self) -> Begin {
        Begin {
            mark: self.audit.mark(),
            ec2: self.ec2.counts().unwrap(),
        }
    }

    /// What was asked since then, once there is nothing more to ask.
    pub async fn cost(&self, begin: &Begin) -> Cost {
        let seen = || {
            self.requests_since(begin.mark)
                .iter()
                .filter(|one| is_counted(one))
                .count()
        };
        let mut before = seen();
        until("all is done", PATIENCE, async || {
            tokio::time::sleep(SILENCE).await;
            let now = seen();
            std::mem::replace(&mut before, now).eq(&now).then_some(())
        })
        .await
        .unwrap();
        let (mut requests, mut events) = (BTreeMap::new(), Vec::new());
        for record in self
            .requests_since(begin.mark)
            .iter()
            .filter(|one| is_counted(one))
        {
            if record.resource == "events" {
                events.push(format!("{} {}", record.verb, record.name));
            } else {
                *requests.entry(record.action()).or_default() += 1;
            }
        }
        let changed = |(action, count): (String, u64)| {
            let before = begin.ec2.get(&action).copied().unwrap_or_default();
            (!action.starts_with("Describe") && count > before).then(|| (action, count - before))
        };
        let ec2 = self
            .ec2
            .counts()
            .unwrap()
            .into_iter()
            .filter_map(changed)
            .collect();
        Cost {
            requests,
            events,
            ec2,
        }
    }

    /// Our requests since the beginning.
    pub fn requests(&self) -> Vec<Record> {
        self.requests_since(self.begun)
    }

    fn requests_since(&self, mark: Mark) -> Vec<Record> {
        let ours = |record: &Record| self.users.values().any(|user| user.name == record.user);
        let records = self.audit.since(mark).unwrap();
        records.into_iter().filter(ours).collect()
    }

    /// Fails when one of our requests was denied.
    pub fn nothing_denied(&self) {
        assert!(!self.requests().is_empty(), "the audit log knows our users");
        let denied = self.denied();
        assert!(denied.is_empty(), "denied: {denied:#?}");
    }

    /// User and action of the requests that were denied.
    pub fn denied(&self) -> BTreeSet<String> {
        let requests = self.requests();
        let denied = requests.iter().filter(|record| record.is_denied());
        denied
            .map(|record| format!("{}: {}", record.user, record.action()))
            .collect()
    }

    /// Fails when a function has a right by our roles that it has not used, other than `rare`.
    pub async fn nothing_granted_in_vain(&self, rare: &[(&str, &str)]) {
        for function in FUNCTIONS {
            let of_cluster = format!("clusterroles/slackwater-{function}");
            let namespace = self.roles.namespace;
            let of_namespace = format!("namespaces/{namespace}/roles/slackwater-{function}");
            let rare = rare.iter().filter(|(of, _)| *of == function);
            let rare: Vec<&str> = rare.map(|(_, right)| *right).collect();
            self.all_used(function, &[&of_cluster, &of_namespace], &rare)
                .await;
        }
    }

    /// Fails when a user has not used all rights of these roles, other than `rare`.
    pub async fn all_used(&self, user: &str, roles: &[&str], rare: &[&str]) {
        let name = &self.users[user].name;
        let used: BTreeSet<String> = self
            .requests()
            .iter()
            .filter(|record| record.user == *name)
            .map(Record::action)
            .collect();
        let spare = |right: &&String| {
            // Older API servers have no watch that begins with a list.
            let watched = right.strip_prefix("list ").map(|what| format!("watch {what}"));
            !used.contains(*right)
                && !watched.is_some_and(|watch| used.contains(&watch))
                && !rare.contains(&right.as_str())
        };
        let granted = self.granted(roles).await;
        let vain: Vec<&String> = granted.iter().filter(spare).collect();
        assert!(
            vain.is_empty(),
            "{user} has rights that it does not use: {vain:#?}"
        );
    }

    /// Verb and resource of each right of these roles.
    async fn granted(&self, roles: &[&str]) -> BTreeSet<String> {
        let mut granted = BTreeSet::new();
        for role in roles {
            let path = format!("/apis/rbac.authorization.k8s.io/v1/{role}");
            let role = self.hand.get(&path).await.unwrap().ok(&path).unwrap();
            for rule in role["rules"].as_array().unwrap() {
                for resource in rule["resources"].as_array().unwrap() {
                    for verb in rule["verbs"].as_array().unwrap() {
                        let [verb, resource] = [verb, resource].map(|text| text.as_str().unwrap());
                        granted.insert(format!("{verb} {resource}"));
                    }
                }
            }
        }
        granted
    }
}

fn is_counted(record: &Record) -> bool {
    // Events about leases are named after them.
    let of_lease = |name: &str| {
        let name = name.rsplit_once('.').map(|(lease, _)| lease);
        name.is_some_and(|name| LEASES.contains(&name))
    };
    let follows = matches!(record.verb.as_str(), "list" | "watch");
    let apart = matches!(record.resource.as_str(), "leases" | "selfsubjectaccessreviews");
    let election = record.resource == "events" && of_lease(&record.name);
    !(follows || apart || election)
}
