//! `docs/errors.md` is what the tables of `ec2::codes` say, and the alert about denials knows their codes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use csi::status::code_name;
use csi::{Class, Operation, classify};
use ebs_driver::ec2::codes::{CODES, EXCEPTIONS, Meaning, Purpose, Reply};
use ebs_driver::ec2::errors::{Action, Ec2Error, Lost};
use tonic::Code;

/// Set this variable to any value to write the page anew.
const UPDATE: &str = "UPDATE_ERRORS";
/// Denied, and no fault of the role, the account or the credentials: somebody protects one object.
const PROTECTED: &str = "OperationNotPermitted";

const HEAD: &str = "\
# What an error of EC2 means

Made from the tables of [`ebs-driver/src/ec2/codes.rs`](../ebs-driver/src/ec2/codes.rs) by
`UPDATE_ERRORS=1 cargo test -p ebs-driver errors_page`; a test fails while it differs from them.

An error of EC2 reads `rpc error: code = <gRPC code> desc = <action>: <code of EC2>: <EC2's own text>` wherever a user
meets it. The first section says what each code of EC2 is and what to do about it. The last says what becomes of it: which
gRPC code each call answers, and what the sidecar that sent the call does then.

The driver itself repeats a call that was throttled, and one without a clear answer where a second request does no harm,
until the caller's deadline. A refusal is answered at once. Of requests that the role may not send, the log of the driver
has the ID and EC2's encoded message, once a request; events leave both out, since they differ from call to call.
";

/// Where the user meets an error of this call.
fn place(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::CreateVolume | Purpose::CreateVolumeRead => {
            "event `ProvisioningFailed` on the PersistentVolumeClaim"
        }
        Purpose::DeleteVolume => "event `VolumeFailedDelete` on the PersistentVolume",
        Purpose::AttachRead | Purpose::Attach => {
            "event `FailedAttachVolume` on the Pod, `status.attachError` of the VolumeAttachment"
        }
        Purpose::Detach => "`status.detachError` of the VolumeAttachment",
        Purpose::Change | Purpose::ChangeRead => {
            "on the PersistentVolumeClaim the event `VolumeResizeFailed` and the condition `ControllerResizeError`; of a change \
             by class `VolumeModifyFailed` and `ModifyVolumeError`"
        }
        Purpose::CreateSnapshot
        | Purpose::SnapshotRead
        | Purpose::NewSnapshotClass
        | Purpose::SnapshotClass => {
            "`status.error` of the VolumeSnapshot and of its content, event `SnapshotCreationFailed` on the content; of a \
             group the same, and `GroupSnapshotCreationFailed`"
        }
        Purpose::DeleteSnapshot => {
            "event `SnapshotDeleteError` on the VolumeSnapshotContent; `GroupSnapshotDeleteError` on that of a group"
        }
        Purpose::ListSnapshots | Purpose::ListPage => {
            "`status.error` of the content of a snapshot that was imported"
        }
        Purpose::Validate => "nowhere: no sidecar calls it",
        Purpose::Probe => "the probe of the controller's container",
    }
}

/// What else there is to say of a call.
fn note(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::NewSnapshotClass => {
            " The new snapshot is deleted first; where that cannot be done either, the answer is Aborted."
        }
        Purpose::SnapshotClass => {
            " A refusal is told once: from then on the snapshot is answered as it is. What may pass is tried again with \
             the next poll, and told only once the snapshot is completed."
        }
        Purpose::Change => {
            " Where EC2 names the time of the next modification, the answer carries it, and nothing is sent before."
        }
        _ => "",
    }
}

/// What the sidecars make of a gRPC code: of each call, where they differ.
fn retried(operations: &[(&str, Operation)], code: Code) -> String {
    let text = |operation| match classify(operation, code) {
        Class::Ok => "done",
        Class::Final => "final: nothing is being done; tried anew with back-off",
        Class::InProgress => "not final: it may be done; the same request is repeated with back-off",
        Class::Infeasible => "infeasible: tried anew slowly, until request or class is changed",
    };
    let of_each: Vec<(&str, &str)> = operations.iter().map(|(name, one)| (*name, text(*one))).collect();
    match of_each.first() {
        None => "the caller decides".to_owned(),
        Some((_, first)) if of_each.iter().all(|(_, text)| text == first) => (*first).to_owned(),
        Some(_) => {
            let lines: Vec<String> = of_each
                .iter()
                .map(|(name, text)| format!("{name}: {text}"))
                .collect();
            lines.join("<br>")
        }
    }
}

fn code_of(reply: Reply) -> Code {
    match reply {
        Reply::Done => Code::Ok,
        Reply::Code(code) | Reply::LookFirst(code) => code,
    }
}

/// One table: the replies of a call, each with what leads to it.
fn call(page: &mut String, purpose: Purpose) {
    let (rpc, actions) = purpose.text();
    let mut rows: Vec<(Reply, Vec<String>)> = Vec::new();
    let mut add = |reply, why: String| match rows.iter_mut().find(|(known, _)| *known == reply) {
        Some((_, whys)) => whys.push(why),
        None => rows.push((reply, vec![why])),
    };
    for meaning in Meaning::ALL {
        add(purpose.usual(meaning), meaning.text().to_owned());
    }
    for (_, code, reply) in EXCEPTIONS.iter().filter(|(of, ..)| *of == purpose) {
        add(*reply, format!("`{code}`"));
    }
    writeln!(page, "\n### {rpc}\n").unwrap();
    let (seen, note) = (place(purpose), note(purpose));
    writeln!(page, "Sent: {actions}. Seen: {seen}.{note}\n").unwrap();
    writeln!(
        page,
        "| gRPC code | What the sidecar does | When |\n|---|---|---|"
    )
    .unwrap();
    let most = rows.iter().map(|(_, whys)| whys.len()).max().unwrap_or_default();
    let single = rows.len() == 1;
    rows.sort_by_key(|(_, whys)| whys.len() == most);
    for (reply, whys) in &rows {
        let code = code_of(*reply);
        let why = match (single, whys.len() == most && most > 3) {
            (true, _) => "always".to_owned(),
            (_, true) => "everything else".to_owned(),
            _ => whys.join("; "),
        };
        let looked = if matches!(reply, Reply::LookFirst(_)) {
            ", unless a look at what there is settles it"
        } else {
            ""
        };
        let done = retried(purpose.operations(), code);
        writeln!(page, "| {}{looked} | {done} | {why} |", code_name(code)).unwrap();
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## Codes of EC2\n\n| Code | What it says | What to do |\n|---|---|---|\n");
    let mut codes: Vec<_> = CODES.iter().collect();
    codes.sort_by_key(|row| row.code);
    for row in codes {
        let advice = if row.advice.is_empty() {
            row.meaning.advice()
        } else {
            row.advice
        };
        writeln!(page, "| `{}` | {} | {advice} |", row.code, row.meaning.text()).unwrap();
    }
    let (unclear, refused) = (Meaning::Unclear, Meaning::Refused);
    writeln!(
        page,
        "| any other, HTTP status 500 and above | {} | {} |",
        unclear.text(),
        unclear.advice()
    )
    .unwrap();
    writeln!(page, "| any other | {} | {} |", refused.text(), refused.advice()).unwrap();
    page.push_str(
        "\n## No answer of EC2\n\n| The text begins with | What it says | What to do |\n|---|---|---|\n",
    );
    for why in Lost::ALL {
        let error = Ec2Error::lost(Action::DescribeVolumes, why, "");
        let meaning = error.meaning();
        writeln!(
            page,
            "| {} | {} | {} |",
            why.text(),
            meaning.text(),
            meaning.advice()
        )
        .unwrap();
    }
    page.push_str("\n## What becomes of it\n");
    for purpose in Purpose::all() {
        call(&mut page, purpose);
    }
    page
}

#[test]
fn errors_page_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    let page = page();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/errors.md is not what ec2::codes says; run `{UPDATE}=1 cargo test -p ebs-driver errors_page`"
    );
}

#[test]
fn the_alert_about_denials_knows_every_code_of_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards/alerts.yaml");
    let rules = std::fs::read_to_string(path).unwrap();
    let (_, rule) = rules.split_once("- alert: EC2Denied\n").unwrap();
    let (_, codes) = rule.split_once("{code=~\"").unwrap();
    let (codes, _) = codes.split_once('"').unwrap();
    let watched: BTreeSet<&str> = codes.split('|').collect();
    let denied: BTreeSet<&str> = CODES
        .iter()
        .filter(|row| matches!(row.meaning, Meaning::Denied | Meaning::Credentials))
        .map(|row| row.code)
        .filter(|code| *code != PROTECTED)
        .collect();
    assert_eq!(watched, denied);
}
