//! What containerd and kubelet are told, and the image that pods of the tests are made of.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{run, write};
use crate::Error;

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
        "nodeStatusUpdateFrequency": "2s",
        "syncFrequency": "5s",
        // Who cannot lower it would not start.
        "oomScoreAdj": 0,
        "resolvConf": "",
        "shutdownGracePeriod": "0s",
    })
    .to_string()
}

/// Lays out the archive of an image of busybox, in the form of `docker save`.
pub(super) fn busybox_image(folder: &Path, archive: &Path) -> Result<(), Error> {
    let root = folder.join("root");
    for name in ["bin", "tmp"] {
        std::fs::create_dir_all(root.join(name))
            .map_err(Error::system(format!("make {}", root.display())))?;
    }
    let program = root.join("bin/busybox");
    std::fs::copy("/bin/busybox", &program).map_err(|_| Error::Missing {
        name: "/bin/busybox".to_owned(),
        command: "apt-get install busybox-static".to_owned(),
    })?;
    run(Command::new(&program).args(["--install"]).arg(root.join("bin")))?;
    run(Command::new("tar")
        .arg("-C")
        .arg(&root)
        .arg("-cf")
        .arg(folder.join("layer.tar"))
        .arg("."))?;
    let digest = Command::new("sha256sum")
        .arg(folder.join("layer.tar"))
        .output()
        .map_err(Error::system("run sha256sum"))?;
    let digest = String::from_utf8_lossy(&digest.stdout)
        .chars()
        .take(64)
        .collect::<String>();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Env": ["PATH=/bin"], "Entrypoint": ["/bin/sleep", "1000000"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest =
        json!([{ "Config": "config.json", "RepoTags": ["localhost/busybox:1"], "Layers": ["layer.tar"] }]);
    write(&folder.join("config.json"), &config.to_string())?;
    write(&folder.join("manifest.json"), &manifest.to_string())?;
    run(Command::new("tar")
        .arg("-C")
        .arg(folder)
        .arg("-cf")
        .arg(archive)
        .args(["manifest.json", "config.json", "layer.tar"]))
}
