//! Sizes of claims: how the API server reads and stores each form of a quantity, and how our controllers read that.
//!
//! `corpus/quantities.txt` is the record of what a real API server stored, for tests that have none. Here the real one
//! is asked again, for what is recorded and for as many sizes that are drawn.

use base::Random;
use runtime::objects::Quantity;
use sandbox::kube::validation::quantity::Quantity as Exact;
use serde_json::{Value, json};

use super::script::{Scene, Step};

const CLAIMS: &str = "/api/v1/namespaces/NS/persistentvolumeclaims";
/// The scene of the recorded sizes.
const RECORDED: &str = "recorded sizes";
/// How many sizes are drawn.
const DRAWN: usize = 150;

/// What was sent, what was stored, and its whole bytes.
fn record() -> impl Iterator<Item = [&'static str; 3]> {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/quantities.txt"));
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.try_into().expect("three columns")
    })
}

/// The recorded sizes and those that are drawn from a seed.
pub fn scenes(seed: u64) -> [Scene; 2] {
    let random = Random::seeded(seed);
    let recorded = record().map(|[sent, ..]| sent.to_owned()).collect();
    let drawn = (0..DRAWN).map(|_| draw(&random)).collect();
    [scene(RECORDED, recorded), scene("drawn sizes", drawn)]
}

/// Each size is that of a claim, to which it then is given once more in the whole bytes that our controllers read: an
/// unbound claim takes them only when they are the same amount.
fn scene(name: &str, sizes: Vec<String>) -> Scene {
    let mut steps = Vec::new();
    for (number, size) in sizes.into_iter().enumerate() {
        let (claim, bytes) = (format!("q{number}"), bytes(&size));
        let spec = |size: &str| json!({"resources": {"requests": {"storage": size}}});
        let mut whole = spec(&size);
        whole["accessModes"] = json!(["ReadWriteOnce"]);
        let body = json!({"metadata": {"name": claim}, "spec": whole});
        let ask = format!("POST {CLAIMS}");
        steps.push(Step::new(format!("{number:03} {size}"), ask, Some(body)));
        let body = json!({"spec": spec(&bytes.to_string())});
        let ask = format!("PATCH {CLAIMS}/{claim}?dryRun=All");
        let step = Step::new(format!("{number:03} {size} in bytes"), ask, Some(body));
        steps.push(step.form("merge"));
    }
    Scene {
        scene: name.to_owned(),
        steps,
    }
}

fn bytes(size: &str) -> i64 {
    Quantity::parse(size).map_or(0, Quantity::bytes)
}

fn below(random: &Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap()
}

fn draw(random: &Random) -> String {
    const SUFFIXES: [&str; 16] = [
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    let longest = [3, 8, 18, 25][below(random, 4)];
    let digits = || -> String {
        let length = below(random, longest + 1);
        let digit = |_| char::from_digit(u32::try_from(random.below(10)).unwrap(), 10).unwrap();
        (0..length).map(digit).collect()
    };
    let start = ["", "", "", "+", "0", "00"][below(random, 6)];
    let first = 1 + random.below(9);
    let mut text = format!("{start}{first}{}", digits());
    if random.below(2) == 0 {
        text += &format!(".{}", digits());
    }
    if random.below(3) > 0 {
        return text + SUFFIXES[below(random, SUFFIXES.len())];
    }
    let letter = ["e", "E"][below(random, 2)];
    let sign = ["", "+", "-"][below(random, 3)];
    text + &format!("{letter}{sign}{}", random.below(28))
}

/// Holds what the real API server answered against the record, and against how our controllers read sizes.
pub fn check(scene: &Scene, real: &[Value]) {
    let record: Vec<[&str; 3]> = record().collect();
    let mut taken = 0;
    for (index, (steps, answers)) in scene.steps.chunks(2).zip(real.chunks(2)).enumerate() {
        let sent = size(steps[0].body.as_ref().unwrap()).unwrap();
        if answers[0]["status"] != 201 {
            assert_ne!(scene.scene, RECORDED, "{sent}: {}", answers[0]);
            continue;
        }
        let stored = size(&answers[0]["body"]).unwrap();
        if scene.scene == RECORDED {
            assert_eq!(record[index][1], stored, "stored of {sent}");
        }
        let same_in_bytes = answers[1]["status"] == 200;
        read_alike(sent, stored, same_in_bytes);
        taken += 1;
    }
    assert!(taken > 50, "only {taken} sizes were taken");
}

fn size(claim: &Value) -> Option<&str> {
    claim.pointer("/spec/resources/requests/storage")?.as_str()
}

/// What our controllers read of a size that was stored.
fn read_alike(sent: &str, stored: &str, same_in_bytes: bool) {
    let read = |size: &str| Quantity::parse(size).unwrap_or_else(|| panic!("{size} is not read"));
    let exact = Exact::read(&json!(stored)).unwrap();
    if read(sent).exceeds_int64() {
        // What is stored may be another amount: 1000E is 1.
        assert!(!same_in_bytes, "{sent} fits into an int64");
        return;
    }
    assert_eq!(read(sent), read(stored), "{sent} and {stored}");
    assert_eq!(same_in_bytes, !exact.is_fractional(), "{sent} is {stored}");
}
