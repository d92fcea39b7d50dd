//! Layer 4: the driver, and its requests, on moto as on the sandbox; Amazon's SDK on the sandbox; gRPC's C core before our
//! server.

mod c_core;
mod cloud;
mod requests;
mod scenarios;
mod sdk;
mod server;
mod xml;

use base::Scope;
use serde_json::Value;

use crate::corpus::diff::{Difference, differences};
use crate::corpus::listed::Listed;
use cloud::Cloud;
use requests::Outcome;
use server::Moto;

fn moto() -> Option<Moto> {
    match server::python() {
        Some(python) => Some(Moto::start(python)),
        None => {
            crate::shared::not_run("4 moto", &"run conformance/moto/setup first");
            None
        }
    }
}

#[tokio::test]
async fn moto_the_driver_does_the_same_on_two_ec2s() {
    let Some(moto) = moto() else { return };
    let scope = Scope::new();
    let ours = Cloud::sandbox(&scope).await;
    let theirs = Cloud::at(&moto.url);
    let ours = scenarios::Play::new(&ours, &scope).run().await;
    let theirs = scenarios::Play::new(&theirs, &scope).run().await;
    agree("moto: the driver", &ours, &theirs);
}

#[tokio::test]
async fn moto_the_same_requests_to_two_ec2s() {
    let Some(moto) = moto() else { return };
    let scope = Scope::new();
    let lines = requests::lines();
    let ours = requests::play(&Cloud::sandbox(&scope).await, &lines).await;
    let theirs = requests::play(&Cloud::at(&moto.url), &lines).await;
    agree("moto: requests", &ours, &theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_the_sdk_of_amazon_reads_what_the_sandbox_writes() {
    match server::python() {
        Some(python) => sdk::play(&python).await,
        None => crate::shared::not_run("4 moto", &"run conformance/moto/setup first"),
    }
}

#[tokio::test]
async fn ebs_case_136_grpcs_c_core_names_the_path_as_the_authority() {
    match server::python() {
        Some(python) => c_core::play(&python).await,
        None => crate::shared::not_run("4 moto", &"run conformance/moto/setup first"),
    }
}

/// Where two answers differ. When only one is a refusal, that is the one difference; of two refusals the codes count.
fn compared(ours: &Value, theirs: &Value) -> Vec<Difference> {
    let refusal = |answer: &Value| {
        let code = answer
            .get("code")
            .or_else(|| answer.pointer("/body/Errors/Error/Code"));
        let broken = answer["status"].as_u64().is_some_and(|status| status >= 400);
        code.cloned().or_else(|| broken.then(|| answer["status"].clone()))
    };
    let mut found = Vec::new();
    match (refusal(ours), refusal(theirs)) {
        (None, None) => differences("answer", ours, theirs, &mut found),
        (Some(ours), Some(theirs)) => differences("refusal", &ours, &theirs, &mut found),
        (ours, theirs) => {
            let shown = |side: Option<Value>| side.unwrap_or(Value::from("none"));
            differences("refused", &shown(ours), &shown(theirs), &mut found);
        }
    }
    found
}

/// Compares two transcripts; the table of known differences stands below `heading` in `docs/sandbox.md`.
fn agree(heading: &str, ours: &[Outcome], theirs: &[Outcome]) {
    let mut listed = Listed::read(heading);
    let mut unknown = Vec::new();
    let (mut equal, mut known) = (0, 0);
    assert_eq!(ours.len(), theirs.len());
    for (one, other) in ours.iter().zip(theirs) {
        let found = compared(&one.answer, &other.answer);
        let before = unknown.len();
        let count = found.len();
        for difference in found {
            if !listed.covers(one.name, &difference.path) {
                unknown.push(format!(
                    "{}: {}\n  sandbox {}\n  moto    {}",
                    one.name, difference.path, difference.sandbox, difference.other
                ));
            }
        }
        match (count, unknown.len() > before) {
            (0, _) => equal += 1,
            (_, false) => known += 1,
            _ => {}
        }
    }
    println!(
        "{heading}: {} answers, {equal} equal, {known} with listed differences",
        ours.len()
    );
    assert!(
        unknown.is_empty(),
        "differences that docs/sandbox.md does not list:\n{}",
        unknown.join("\n")
    );
    let unused = listed.unused();
    assert!(unused.is_empty(), "listed, but equal by now: {unused:#?}");
}
