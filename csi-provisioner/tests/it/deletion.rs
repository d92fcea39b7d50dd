//! Volumes that need nothing are not looked at (sidecars.md 2.11).

use controller::Retries;
use csi_provisioner::deletion::{Memory, Observed, Plan, plan, rests};
use jiff::Timestamp;
use runtime::objects::Volume;
use serde_json::json;

use crate::plan::settings;

fn planned(volume: &Volume, attached_to: Option<&str>) -> Plan {
    let observed = Observed {
        volume,
        attached_to,
        class: None,
        secret: None,
        answer: None,
        memory: &Memory::default(),
        retries: &Retries::default(),
        settings: &settings(false),
    };
    plan(&observed, Timestamp::UNIX_EPOCH)
}

#[test]
fn sidecars_case_226_a_volume_that_rests_needs_nothing() {
    let mut resting = 0;
    for phase in ["Pending", "Available", "Bound", "Released", "Failed"] {
        for policy in ["Delete", "Retain"] {
            for finalizers in [&[][..], &["external-provisioner.volume.kubernetes.io/finalizer"]] {
                for going in [None, Some("2026-01-01T00:00:00Z")] {
                    let volume = json!({
                        "metadata": {"name": "v", "uid": "u", "finalizers": finalizers, "deletionTimestamp": going,
                            "annotations": {"pv.kubernetes.io/provisioned-by": "d.csi"}},
                        "spec": {"csi": {"driver": "d.csi", "volumeHandle": "h"},
                            "persistentVolumeReclaimPolicy": policy},
                        "status": {"phase": phase},
                    });
                    let volume: Volume = serde_json::from_value(volume).unwrap();
                    if !rests(&volume) {
                        continue;
                    }
                    resting += 1;
                    for attached_to in [None, Some("n1")] {
                        let nothing = Plan::resting(Memory::default());
                        assert_eq!(planned(&volume, attached_to), nothing, "{volume:?}");
                    }
                }
            }
        }
    }
    // Of the phases but Released, where nobody deletes: all but Delete without the finalizer while it is bound, and Retain with it.
    assert_eq!(resting, 4 * 4 - 1 - 4);
}
