//! What containerd and kubelet are told.

use serde_json::json;

/// Scores of the out-of-memory killer cannot be lowered on every machine; pods share their host's user namespace.
pub(super) const CONTAINERD: &str = r#"
version = 3

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = 'localhost/busybox:1'

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
disable_apparmor = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['/usr/lib/cni']
conf_dir = '/etc/cni/net.d'
"#;

/// A bridge; what a pod asks of other addresses goes to this machine, which has that of the service `kubernetes`.
pub(super) const NETWORK: &str = r#"{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "pods0",
      "isGateway": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{ "subnet": "10.1.0.0/24" }]],
        "routes": [{ "dst": "0.0.0.0/0" }]
      }
    }
  ]
}
"#;

/// Kubelet's configuration, in JSON, which is YAML.
pub(super) fn kubelet(containerd: &str) -> String {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "cgroupDriver": "cgroupfs",
        // Nobody is there: pods of these tests know their addresses.
        "clusterDNS": ["10.0.0.10"],
        "containerRuntimeEndpoint": format!("unix://{containerd}"),
        "evictionHard": { "memory.available": "1Mi" },
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        // A volume counts as in use until the next status of the node, and a larger one is looked at with the next look at its pod.
        "nodeStatusUpdateFrequency": "1s",
        "syncFrequency": "2s",
        // Tests kill the same container again and again.
        "crashLoopBackOff": { "maxContainerRestartPeriod": "1s" },
        // Who cannot lower it would not start.
        "oomScoreAdj": 0,
        "resolvConf": "",
        "shutdownGracePeriod": "0s",
    })
    .to_string()
}
