//! Certificates that the webhook makes itself, against the sandbox, on simulated time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::http::Tls;
use base::{Clock, Random, Scope};
use clap::Parser as _;
use controller::testing::resources::{DEFINITIONS, SECRETS};
use jiff::{SignedDuration, Timestamp};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use sandbox::faults::{Faults, Storm, transports};
use sandbox::kube::{ApiServer, Denial, Store};
use serde_json::{Value, json};
use snapshot_controller::webhook::certificate::keeper::{Keeper, Options};
use snapshot_controller::webhook::certificate::plan::{Pair, Seen, Step, Stored, Trust, plan};
use snapshot_controller::webhook::{Args, CertificateIssuer};

const NAMESPACE: &str = "slackwater";
const SECRET: &str = "snapshot-conversion-webhook-certificate";
const SERVER: &str = "snapshot-conversion-webhook.slackwater.svc";
const DEFINITION: &str = "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io";

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn pair(name: &str, not_after: Timestamp) -> Pair {
    Pair {
        authority: format!("authority {name};"),
        certificate: format!("certificate {name}"),
        key: "a key".into(),
        names: vec![SERVER.into()],
        not_after,
    }
}

#[test]
fn snapshot_case_142_what_is_due_of_a_certificate() {
    let now = moment("2026-06-01T00:00:00Z");
    let names = [SERVER.to_owned()];
    let in_days = |count: i64| now.checked_add(days(count)).unwrap();
    let minutes_ago = |count: i64| {
        Some(Trust::Since(
            now.checked_sub(SignedDuration::from_mins(count)).unwrap(),
        ))
    };
    let fresh = Stored::begun(pair("a", in_days(89)));
    let old = Stored::begun(pair("a", in_days(29)));
    let prepared = old.clone().prepared(pair("b", in_days(90)));
    let left_alone = old.clone().prepared(pair("b", in_days(28)));
    let over = Stored::begun(pair("a", now));
    let mut other = fresh.clone();
    other.current.names = vec!["another.slackwater.svc".into()];
    for (stored, trust, expected) in [
        (None, None, Some(Step::Begin)),
        (None, Some(Trust::Lacking), Some(Step::Begin)),
        (Some(&over), minutes_ago(9), Some(Step::Begin)),
        (Some(&fresh), Some(Trust::Lacking), Some(Step::Trust)),
        (Some(&fresh), minutes_ago(9), None),
        // Nobody asks.
        (Some(&fresh), None, None),
        (Some(&old), minutes_ago(9), Some(Step::Prepare)),
        (Some(&other), minutes_ago(9), Some(Step::Prepare)),
        (Some(&prepared), Some(Trust::Lacking), Some(Step::Trust)),
        (Some(&prepared), minutes_ago(4), None),
        (Some(&prepared), None, None),
        (Some(&prepared), minutes_ago(5), Some(Step::Promote)),
        (Some(&left_alone), minutes_ago(9), Some(Step::Prepare)),
    ] {
        let names = &names[..];
        let seen = Seen {
            stored,
            names,
            trust,
            now,
        };
        assert_eq!(plan(&seen), expected, "{seen:?}");
    }
    assert_eq!(prepared.bundle(), "authority a;authority b;");
    let promoted = prepared.promoted();
    assert_eq!(
        promoted.bundle(),
        "authority b;authority a;",
        "a replica may be late"
    );
    assert_eq!(
        promoted.prepared(pair("c", now)).bundle(),
        "authority b;authority c;"
    );
    let shown = format!("{fresh:?}");
    assert!(!shown.contains("a key") && shown.contains(SERVER), "{shown}");
}

#[test]
fn snapshot_case_142_files_that_are_named_are_used_as_upstream_does() {
    let parse = |line: &str| {
        Args::try_parse_from(std::iter::once("snapshot-conversion-webhook").chain(line.split_whitespace()))
    };
    let files = "--tls-cert-file=/c --tls-private-key-file=/k";
    assert!(parse(files).unwrap().files().unwrap().is_some());
    assert!(parse("").unwrap().files().unwrap().is_none());
    let two = parse(&format!("{files} --certificate-issuer=self-signed"));
    assert!(two.unwrap().files().is_err());
    let explicit = parse("--certificate-issuer=self-signed --service-name=x --service-namespace=y").unwrap();
    assert_eq!(explicit.certificate_issuer, Some(CertificateIssuer::SelfSigned));
    assert_eq!(
        explicit.own(&base::args::Environment::default()).names,
        ["x.y.svc"]
    );
    let by_url = parse("--url=https://[::1]:8443/convert").unwrap();
    assert_eq!(by_url.own(&base::args::Environment::default()).names, ["::1"]);
    for wrong in [
        "--certificate-issuer=files",
        "--tls-cert-file=/c",
        "--tls-private-key-file=/k",
        &format!("{files} --secret-name=s"),
        "--url=http://localhost/convert",
        "--url=https://localhost/convert --service-name=s",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

/// A cluster with the definition, and what the API server may know of it: it follows definitions by a watch.
struct World {
    api: ApiServer,
    person: Store,
    clock: Clock,
    scope: Scope,
    /// Bundles that an API server may still go by, the newest last.
    known: Mutex<Vec<(Timestamp, Vec<u8>)>>,
}

/// A replica; dropping it kills it.
struct Replica {
    served: Arc<Mutex<Option<Tls>>>,
    faults: Faults,
    _scope: Scope,
}

/// How late an API server may be.
const LAG: SignedDuration = SignedDuration::from_secs(60);

impl World {
    fn new() -> Self {
        let scope = Scope::new();
        let clock = Clock::simulated(moment("2026-01-01T00:00:00Z"));
        let random = Random::seeded(5);
        let api = ApiServer::new(clock.clone(), random.fork(), &scope);
        let world = Self {
            person: api.store("person"),
            api,
            clock,
            scope,
            known: Mutex::default(),
        };
        let namespace = json!({ "metadata": { "name": NAMESPACE } });
        let namespaces = sandbox::kube::GroupResource::new("", "namespaces");
        world.person.create(namespaces, namespace).unwrap();
        world.define();
        world
    }

    /// The name of the real one with little in it, since it is read often.
    fn define(&self) {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": DEFINITION,
                "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-csi/external-snapshotter"}},
            "spec": {"group": "groupsnapshot.storage.k8s.io", "scope": "Cluster",
                "names": {"kind": "VolumeGroupSnapshotContent", "plural": "volumegroupsnapshotcontents"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
        });
        self.person.create(DEFINITIONS, definition).unwrap();
    }

    fn start(&self, period: Duration, faults: Faults) -> Replica {
        let options = Options {
            period,
            ..Args::parse_from(["webhook", "--service-namespace=slackwater"])
                .own(&base::args::Environment::default())
        };
        let transport = transports::kubernetes(&self.api, "webhook", &faults);
        let client = kube::Client::new(transport, "default");
        let mut keeper = Keeper::new(&client, options, &self.clock);
        let served = Arc::<Mutex<Option<Tls>>>::default();
        let (slot, scope) = (served.clone(), self.scope.child());
        scope.spawn(async move {
            let tls = keeper.first().await;
            *slot.lock().unwrap() = Some(tls.clone());
            keeper.keep(tls).await;
        });
        Replica {
            served,
            faults,
            _scope: scope,
        }
    }

    fn conversion(&self) -> Value {
        let definition = self.person.get(DEFINITIONS, "", DEFINITION).unwrap();
        definition.value()["spec"]["conversion"].clone()
    }

    fn bundle(&self) -> Option<Vec<u8>> {
        use base64::Engine as _;
        let conversion = self.conversion();
        let text = conversion["webhook"]["clientConfig"]["caBundle"].as_str()?;
        Some(base64::engine::general_purpose::STANDARD.decode(text).unwrap())
    }

    /// Whatever an API server may know by now, it trusts what this replica serves.
    fn is_trusted(&self, replica: &Replica) {
        let now = self.clock.now();
        let mut known = self.known.lock().unwrap();
        if let Some(bundle) = self.bundle()
            && known.last().is_none_or(|(_, last)| *last != bundle)
        {
            known.push((now, bundle));
        }
        // The one before the first that everybody knows is forgotten.
        while known
            .get(1)
            .is_some_and(|(since, _)| now.duration_since(*since) > LAG)
        {
            known.remove(0);
        }
        let served = replica.served.lock().unwrap();
        let certificate = served.as_ref().expect("nothing is served").certificate();
        for (since, bundle) in known.iter() {
            let verified = verify(bundle, &certificate, now);
            assert!(
                verified.is_ok(),
                "at {now}, by the bundle of {since}: {verified:?}"
            );
        }
    }

    fn writes(&self) -> Vec<String> {
        let is_write = |verb: &str| !["get", "list", "watch"].contains(&verb);
        let records = self.api.audit().into_iter();
        let ours = records.filter(|record| record.user == "webhook" && is_write(record.verb));
        ours.map(|record| format!("{} {} {}", record.verb, record.resource, record.code))
            .collect()
    }
}

fn verify(bundle: &[u8], certificate: &[u8], now: Timestamp) -> Result<(), rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(bundle) {
        roots.add(authority.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let leaf = CertificateDer::from_pem_slice(certificate).unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().unsigned_abs()));
    let name = SERVER.try_into().unwrap();
    verifier.verify_server_cert(&leaf, &[], &name, &[], at).map(drop)
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_143_two_replicas_share_a_certificate_and_renew_it_without_a_moment_of_distrust() {
    let world = World::new();
    let hour = Duration::from_secs(3600);
    let replicas = [
        world.start(hour, Faults::none()),
        world.start(hour, Faults::none()),
    ];
    tokio::time::sleep(Duration::from_secs(10)).await;
    let of = |replica: &Replica| replica.served.lock().unwrap().as_ref().map(Tls::certificate);
    let first = of(&replicas[0]);
    assert!(first.is_some() && first == of(&replicas[1]), "they share one");
    let client = &world.conversion()["webhook"]["clientConfig"];
    assert_eq!(
        client["service"],
        json!({"name": "snapshot-conversion-webhook", "namespace": NAMESPACE, "path": "/convert", "port": 443})
    );
    let mut served = vec![first];
    for _ in 0..24 * 200 {
        tokio::time::sleep(hour).await;
        for replica in &replicas {
            world.is_trusted(replica);
        }
        if !served.contains(&of(&replicas[0])) {
            served.push(of(&replicas[0]));
        }
    }
    assert_eq!(served.len(), 4, "the first, and three more in 200 days");
    let counted = |line: &str| world.writes().iter().filter(|write| *write == line).count();
    assert_eq!(counted("create secrets 201"), 1);
    // Prepared and promoted, by whoever was first.
    assert_eq!(counted("update secrets 200"), 2 * 3);
    // The first bundle, then the next authority beside, then its turn.
    assert_eq!(counted("patch customresourcedefinitions 200"), 1 + 2 * 3);
    let lost = world
        .writes()
        .iter()
        .filter(|write| write.ends_with(" 409"))
        .count();
    assert!(lost <= 2 + 4 * 3, "each race is lost once: {:?}", world.writes());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_143_a_renewal_in_bad_weather_ends_as_in_good() {
    for seed in 0..20 {
        let world = World::new();
        let minute = Duration::from_secs(60);
        let first = world.start(minute, Faults::none());
        tokio::time::sleep(Duration::from_secs(10)).await;
        drop(first);
        // Nobody runs until the day of the renewal.
        tokio::time::sleep(Duration::from_secs(60 * 24 * 3600 - 120)).await;
        let storm = |number: u64| {
            let random = Random::seeded(seed * 2 + number);
            let (share, crashes) = (0.3, false);
            Faults::new(Storm {
                random,
                share,
                crashes,
            })
        };
        let replicas = [world.start(minute, storm(0)), world.start(minute, storm(1))];
        tokio::time::sleep(minute).await;
        let before = replicas[0].served.lock().unwrap().as_ref().map(Tls::certificate);
        for _ in 0..180 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            for replica in &replicas {
                if replica.served.lock().unwrap().is_some() {
                    world.is_trusted(replica);
                }
            }
        }
        replicas.iter().for_each(|replica| replica.faults.end());
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            replicas.iter().for_each(|replica| world.is_trusted(replica));
        }
        let after = replicas
            .each_ref()
            .map(|replica| replica.served.lock().unwrap().as_ref().map(Tls::certificate));
        assert!(after[0] == after[1] && after[0] != before, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_144_the_stanza_and_the_secret_are_put_right_again() {
    let world = World::new();
    let replica = world.start(Duration::from_secs(60), Faults::none());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (stanza, served) = (
        world.conversion(),
        replica.served.lock().unwrap().clone().unwrap(),
    );
    // Somebody puts the definition back as it was.
    world
        .person
        .update(DEFINITIONS, "", DEFINITION, |definition| {
            definition["spec"]["conversion"] = json!({"strategy": "None"});
        })
        .unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(world.conversion(), stanza);
    // Somebody deletes the Secret, or makes it useless.
    world.person.delete(SECRETS, NAMESPACE, SECRET, None).unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    let second = served.certificate();
    assert_ne!(world.conversion(), stanza);
    world
        .person
        .update(SECRETS, NAMESPACE, SECRET, |secret| {
            secret["data"]["tls.key"] = json!("");
        })
        .unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_ne!(served.certificate(), second);
    world.known.lock().unwrap().clear();
    world.is_trusted(&replica);
    let secret = world.person.get(SECRETS, NAMESPACE, SECRET).unwrap();
    assert_eq!(secret.value()["type"], "kubernetes.io/tls");
    // The definition goes: nothing to do, and nothing fails.
    world.person.delete(DEFINITIONS, "", DEFINITION, None).unwrap();
    let writes = world.writes().len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.writes().len(), writes);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_144_a_missing_right_is_no_reason_not_to_serve() {
    let world = World::new();
    world.api.deny("webhook", Denial::of("patch", DEFINITIONS));
    let replica = world.start(Duration::from_secs(60), Faults::none());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(replica.served.lock().unwrap().is_some());
    assert!(world.bundle().is_none());
    world.api.allow_all("webhook");
    tokio::time::sleep(Duration::from_secs(61)).await;
    world.is_trusted(&replica);
}
