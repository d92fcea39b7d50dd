//! Requests drawn from a seed.

use base::Random;
use serde_json::{Value, json};

use super::script::{Scene, Step};

const SELECTORS: [&str; 7] = [
    "tier=a",
    "tier!=a",
    "tier in (a,b)",
    "!tier",
    "tier",
    "tier notin (a)",
    "tier=a,app=x",
];

/// How many requests a scene has.
const LENGTH: usize = 60;

/// Scenes of random requests on few objects, so that they meet each other.
pub fn scenes(seed: u64) -> Vec<Scene> {
    let random = Random::seeded(seed);
    let kinds: [(&str, &str, Draw); 4] = [
        (
            "random config maps",
            "/api/v1/namespaces/NS/configmaps",
            config_map,
        ),
        (
            "random claims",
            "/api/v1/namespaces/NS/persistentvolumeclaims",
            claim,
        ),
        (
            "random widgets",
            "/apis/corpus.example/v1/namespaces/NS/widgets",
            widget,
        ),
        (
            "random leases",
            "/apis/coordination.k8s.io/v1/namespaces/NS/leases",
            lease,
        ),
    ];
    let scene = |(name, path, draw): (&str, &str, Draw)| Scene {
        scene: name.to_owned(),
        steps: (0..LENGTH)
            .map(|number| step(&random, number, path, draw))
            .collect(),
    };
    kinds.into_iter().map(scene).collect()
}

type Draw = fn(&Random, &str) -> Value;

fn pick<'a, T: ?Sized>(random: &Random, choices: &[&'a T]) -> &'a T {
    choices[usize::try_from(random.below(choices.len() as u64)).unwrap()]
}

fn step(random: &Random, number: usize, path: &str, draw: Draw) -> Step {
    let object = pick(random, &["one", "two", "three"]);
    let named = format!("{path}/{object}");
    let label = |verb: &str| format!("{number:02} {verb} {object}");
    let manager = pick(random, &["", "?fieldManager=hand", "?dryRun=All"]);
    let write = |verb: &str, method: &str, place: &str| {
        Step::new(
            label(verb),
            format!("{method} {place}{manager}"),
            Some(draw(random, object)),
        )
    };
    match random.below(12) {
        0..=2 => write("create", "POST", path),
        3 => write("replace", "PUT", &named),
        4 | 5 => {
            let mut step = write("merge", "PATCH", &named).form("merge");
            if let Some(Value::Object(whole)) = &mut step.body {
                whole.remove("apiVersion");
                whole.remove("kind");
            }
            step
        }
        6 => {
            let body = json_patch(random);
            Step::new(label("json patch"), format!("PATCH {named}{manager}"), Some(body)).form("json")
        }
        7 => {
            let force = pick(random, &["", "&force=true"]);
            let manager = pick(random, &["a", "b"]);
            let ask = format!("PATCH {named}?fieldManager={manager}{force}");
            Step::new(label("apply"), ask, Some(draw(random, object))).form("apply")
        }
        8 => Step::new(label("get"), format!("GET {named}"), None),
        9 => {
            let selector = pick(random, &SELECTORS).replace(' ', "%20").replace(',', "%2C");
            Step::new(
                label("list"),
                format!("GET {path}?labelSelector={selector}"),
                None,
            )
        }
        10 => {
            let policy = pick(random, &["Background", "Orphan"]);
            let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
            Step::new(label("delete"), format!("DELETE {named}"), Some(body))
        }
        _ => Step::new(label("delete plainly"), format!("DELETE {named}"), None),
    }
}

fn json_patch(random: &Random) -> Value {
    let operation = pick(random, &["add", "replace", "remove", "test"]);
    let places = [
        "/metadata/labels",
        "/metadata/labels/tier",
        "/metadata/annotations",
        "/nothing/here",
    ];
    let place = pick(random, &places);
    let value = if place.ends_with("tier") {
        json!("c")
    } else {
        json!({"tier": "b"})
    };
    json!([{"op": operation, "path": place, "value": value}])
}

fn metadata(random: &Random, name: &str) -> Value {
    let mut metadata = json!({"name": name});
    if random.below(2) == 0 {
        metadata["labels"] =
            json!({"tier": pick(random, &["a", "b", "c"]), "app": pick(random, &["x", "y"])});
    }
    if random.below(3) == 0 {
        metadata["annotations"] = json!({"note": pick(random, &["p", "q", ""])});
    }
    if random.below(8) == 0 {
        metadata["labels"] = json!({"tier": pick(random, &["no good", "", "-x"])});
    }
    metadata
}

fn config_map(random: &Random, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(random, name),
        "data": {"key": pick(random, &["1", "2", ""]), pick(random, &["other", "a.b"]): "x"},
    })
}

fn claim(random: &Random, name: &str) -> Value {
    let mut spec = json!({
        "accessModes": [pick(random, &["ReadWriteOnce", "ReadWriteMany", "Sometimes"])],
        "resources": {"requests": {"storage": pick(random, &["1Gi", "2Gi", "1024Mi", "0"])}},
    });
    if random.below(3) == 0 {
        spec["storageClassName"] = json!(pick(random, &["corpus-grows", "corpus-fixed", ""]));
    }
    if random.below(5) == 0 {
        spec["volumeMode"] = json!(pick(random, &["Block", "Filesystem", "Tape"]));
    }
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata(random, name), "spec": spec,
    })
}

fn widget(random: &Random, name: &str) -> Value {
    let mut spec = json!({"size": pick(random, &[&json!(1), &json!(5), &json!(11), &json!("big")])});
    if random.below(2) == 0 {
        spec["colour"] = json!(pick(random, &["red", "blue", "loud"]));
    }
    if random.below(3) == 0 {
        spec["parts"] = json!([{"name": "a", "count": random.below(3)}, {"name": pick(random, &["b", "c"])}]);
    }
    if random.below(4) == 0 {
        spec["unknown"] = json!(true);
    }
    json!({
        "apiVersion": "corpus.example/v1", "kind": "Widget", "metadata": metadata(random, name), "spec": spec,
    })
}

fn lease(random: &Random, name: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata(random, name),
        "spec": {
            "holderIdentity": pick(random, &["me", "you"]),
            "leaseDurationSeconds": pick(random, &[&json!(15), &json!(0), &json!(30)]),
        },
    })
}
