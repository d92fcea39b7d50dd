//! What befalls a volume under its file system: it is pulled out, damaged, full. What held data is never formatted.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Cluster;
use super::person::{Person, claim, class, pod};

#[tokio::test]
async fn a_device_is_pulled_out_under_its_mount() {
    let Some(cluster) = Cluster::beside_others().await else {
        return;
    };
    let person = cluster.person("pulled-out");
    for file_system in ["ext4", "xfs"] {
        let class_name = format!("pulled-{file_system}");
        person.apply(&[
            class(&class_name, file_system),
            claim(file_system, &class_name, "1Gi", Value::Null),
        ]);
        let (writer, file) = (format!("writer-{file_system}"), format!("/{file_system}/data"));
        person.pod(&writer, &[file_system]);
        let written = person.writes(&writer, &file);
        cluster
            .node()
            .ec2()
            .pull_out(&person.handle(file_system))
            .unwrap();
        let other =
            format!("dd if=/dev/zero of=/{file_system}/other bs=4096 count=1 conv=fsync 2>&1 || true");
        let told = person.sh(&writer, &other);
        // A file system that has met the error by itself before takes nothing more.
        let is_told = told.contains("rror") || told.contains("Read-only file system");
        assert!(is_told, "{file_system}: {told}");
        // Made again, the pod has its volume again.
        person.delete(&format!("pod/{writer}"));
        person.detached(file_system);
        person.pod(&writer, &[file_system]);
        person.holds(&writer, &file, &written);
        person.writes(&writer, &format!("/{file_system}/other"));
        person.kubectl(&["delete", "storageclass", &class_name]);
    }
    person.leaves();
    cluster.nothing_is_left().await;
}

/// What debugfs does to a file system that `/NAME/data` and `/NAME/small` were written to. Each marks it as one with errors, as
/// the kernel does that meets one.
const REPAIRABLE: [&str; 2] = ["set_inode_field data links_count 7", "set_super_value state 2"];
const FOR_PEOPLE: [&str; 2] = ["set_inode_field small mode 0177777", "set_super_value state 2"];

#[tokio::test]
async fn a_file_system_with_errors_is_repaired_or_left_to_people() {
    let Some(cluster) = Cluster::beside_others().await else {
        return;
    };
    let person = cluster.person("damaged");
    let damaged = |name: &str, damage: [&str; 2]| {
        let file = cluster.node().volume_file(&person.handle(name));
        person.delete(&format!("pod/{name}"));
        person.detached(name);
        for change in damage {
            run("debugfs", &["-w", "-R", change], &file);
        }
        person.apply(&[pod(name, &[name])]);
        file
    };
    let written = ["repaired", "refused"].map(|name| {
        person.apply(&[claim(name, "ebs-sc", "1Gi", Value::Null)]);
        person.pod(name, &[name]);
        person.sh(name, &format!("echo small >/{name}/small"));
        person.writes(name, &format!("/{name}/data"))
    });
    damaged("repaired", REPAIRABLE);
    let file = damaged("refused", FOR_PEOPLE);
    person.wait("pod/repaired", "condition=Ready");
    person.holds("repaired", "/repaired/data", &written[0]);
    told(&person, "refused", "RUN fsck MANUALLY");
    // Somebody follows the advice; the pod comes by itself.
    let repaired = Command::new("e2fsck")
        .args(["-f", "-y"])
        .arg(device(&file))
        .output()
        .unwrap();
    assert_eq!(repaired.status.code(), Some(1), "{repaired:?}");
    person.wait("pod/refused", "condition=Ready");
    person.holds("refused", "/refused/data", &written[1]);
    person.leaves();
    cluster.nothing_is_left().await;
}

/// Waits for an event of the pod with this text.
fn told(person: &Person, pod: &str, text: &str) {
    let selector = format!("--field-selector=involvedObject.name={pod},reason=FailedMount");
    for _ in 0..120 {
        let events = person.kubectl(&["get", "events", &selector, "-o", "jsonpath={.items[*].message}"]);
        if events.contains(text) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    panic!("pod {pod}: no event with {text:?}");
}

/// The device of a file.
fn device(file: &Path) -> String {
    run(
        "losetup",
        &["--noheadings", "--output=NAME", "--associated"],
        file,
    )
}

fn run(program: &str, args: &[&str], file: &Path) -> String {
    let ended = Command::new(program).args(args).arg(file).output().unwrap();
    assert!(ended.status.success(), "{program} {args:?}: {ended:?}");
    String::from_utf8(ended.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_full_volume_is_healed_by_its_expansion() {
    let Some(cluster) = Cluster::beside_others().await else {
        return;
    };
    let person = cluster.person("full");
    person.apply(&[
        class("filled", "xfs"),
        claim("data", "filled", "1Gi", Value::Null),
    ]);
    person.pod("writer", &["data"]);
    let written = person.writes("writer", "/data/first");
    let filled = person.sh("writer", "cat /dev/zero 2>&1 >/data/rest || true");
    assert!(filled.contains("No space left"), "{filled}");
    let patch = r#"{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}"#;
    person.kubectl(&["patch", "pvc", "data", "-p", patch]);
    person.wait("pvc/data", "jsonpath={.status.capacity.storage}=2Gi");
    let more = person.writes("writer", "/data/more");
    person.holds("writer", "/data/first", &written);
    person.holds("writer", "/data/more", &more);
    person.kubectl(&["delete", "storageclass", "filled"]);
    person.leaves();
    cluster.nothing_is_left().await;
}
