//! What a node says of itself.

use serde_json::{Value, json};

use super::set;
use crate::kube::discovery::version;

/// The status of a node that is ready, as kubelet writes it.
pub(crate) fn ready(node: &mut Value, name: &str, now: &str) {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    let conditions = json!([
        condition(
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available"
        ),
        condition(
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure"
        ),
        condition(
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available"
        ),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]);
    let resources = json!({
        "cpu": "2", "memory": "8Gi", "ephemeral-storage": "8Gi", "pods": "110",
    });
    let kubelet = version()["gitVersion"].clone();
    let info = json!({
        "kubeletVersion": kubelet, "kubeProxyVersion": "", "osImage": "sandbox", "operatingSystem": "linux",
        "architecture": "amd64", "kernelVersion": "sandbox", "containerRuntimeVersion": "sandbox://1",
        "machineID": "", "systemUUID": "", "bootID": "",
    });
    let addresses = json!([
        {"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name},
    ]);
    for (field, value) in [
        ("addresses", addresses),
        ("allocatable", resources.clone()),
        ("capacity", resources),
        ("conditions", conditions),
        ("nodeInfo", info),
    ] {
        set(node, "/status", field, value);
    }
}
