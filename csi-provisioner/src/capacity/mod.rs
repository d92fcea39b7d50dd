//! How much room there is for new volumes, published for the scheduler as CSIStorageCapacity objects: one for each class and each
//! place in the cluster (sidecars.md 2.11, Q18).
//!
//! | Module | Subject |
//! |---|---|
//! | [`segments`] | for which classes and places |
//! | [`plan`] | what an object needs |
//! | `ledger`, `counts` | which objects are wanted, and upstream's counts of them |
//! | `objects`, `topology` | objects and places as the frame runs them |
//! | `owner` | whose the objects are |
//! | `publishing` | start-up and work |

mod counts;
mod ledger;
mod objects;
mod owner;
pub mod plan;
mod publishing;
pub mod segments;
mod topology;

pub(crate) use ledger::Refresh;
pub(crate) use publishing::{Publishing, Term};
pub(crate) use topology::Whereabouts;

use k8s_openapi::api::storage::v1::StorageClass;

/// Label of an object: whose volumes it is about.
pub(crate) const DRIVER_LABEL: &str = "csi.storage.k8s.io/drivername";
/// Label of an object: which process keeps it.
pub(crate) const MANAGER_LABEL: &str = "csi.storage.k8s.io/managed-by";
/// The value of that label, and what it begins with where each node has a process of its own.
const MANAGER: &str = "external-provisioner";
/// The most characters of a label's value.
const LABEL_LENGTH: usize = 63;
/// What the shortened value has between its parts: two dashes and a hash.
const HASH_LENGTH: usize = 10;

/// Who keeps the objects: the one process, or that of a node. A value that would be too long is cut, with a hash of what it was.
#[must_use]
pub fn manager(node: Option<&str>) -> String {
    let Some(node) = node else {
        return MANAGER.to_owned();
    };
    let name = format!("{MANAGER}-{node}");
    if name.len() <= LABEL_LENGTH {
        return name;
    }
    match LABEL_LENGTH.checked_sub(HASH_LENGTH + node.len()) {
        Some(left) if left > 0 => {
            let begin = MANAGER.get(..left).unwrap_or(MANAGER);
            format!("{begin}-{:08x}-{node}", fnv1a(MANAGER))
        }
        _ => format!("{MANAGER}-{:08x}", fnv1a(&name)),
    }
}

/// The hash FNV-1a of 32 bits.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Whether capacity is published for a class: one of this driver that waits for a pod, since only then the scheduler has a choice.
pub(crate) fn is_published(class: &StorageClass, driver: &str, immediate: bool) -> bool {
    class.provisioner == driver && (immediate || crate::plan::is_for_first_consumer(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_fits_into_a_label() {
        assert_eq!(manager(None), "external-provisioner");
        assert_eq!(manager(Some("n1")), "external-provisioner-n1");
        let (long, longer) = ("n".repeat(43), "n".repeat(60));
        assert_eq!(manager(Some(&"n".repeat(42))).len(), 63);
        // Values of upstream's getNameWithMaxLength.
        let hash = format!("{:08x}", fnv1a("external-provisioner"));
        assert_eq!(manager(Some(&long)), format!("external-p-{hash}-{long}"));
        let whole = fnv1a(&format!("external-provisioner-{longer}"));
        assert_eq!(
            manager(Some(&longer)),
            format!("external-provisioner-{whole:08x}")
        );
        assert_eq!(fnv1a("a"), 0xe40c_292c);
    }
}
