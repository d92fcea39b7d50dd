//! The processes of a stage, with upstream's flags.

use std::time::Duration;

use conformance::Process;

use crate::journey::{FUNCTIONS, ONE_PROCESS, Stage};

impl Stage {
    /// The driver's controller, with the flags of the EBS chart.
    pub fn driver(&self) -> Process {
        let flags = [
            "--batching=true",
            "--logging-format=text",
            "--user-agent-extra=helm",
            "--v=2",
        ];
        let launch = self.suite.driver(&self.program).args(flags);
        self.suite.start(&launch).unwrap()
    }

    /// The snapshot-controller, with upstream's flags.
    pub fn snapshot_controller(&self, more: &[&str]) -> Process {
        let user = &self.users["snapshot-controller"];
        let launch = self
            .suite
            .mode(
                "snapshot-controller",
                &self.program,
                &user.kubeconfig,
                &["--v=5", "--http-endpoint=127.0.0.1:0"],
            )
            .args(self.election())
            .args(more);
        self.suite.start(&launch).unwrap()
    }

    pub fn csi_snapshotter(&self, more: &[&str]) -> Process {
        let flags = [
            "--extra-create-metadata",
            "--worker-threads=100",
            "--retry-interval-max=30m",
        ];
        self.sidecar("csi-snapshotter", &flags, more)
    }

    pub fn csi_resizer(&self, more: &[&str]) -> Process {
        let flags = [
            "--timeout=60s",
            "--extra-modify-metadata",
            "--workers=100",
            "--retry-interval-max=30m",
            "--http-endpoint=127.0.0.1:0",
        ];
        self.sidecar("csi-resizer", &flags, more)
    }

    pub fn csi_provisioner(&self, more: &[&str]) -> Process {
        let flags = [
            "--timeout=60s",
            "--feature-gates=Topology=true",
            "--extra-create-metadata",
            "--default-fstype=ext4",
            "--worker-threads=100",
            "--retry-interval-max=30m",
            "--http-endpoint=127.0.0.1:0",
        ];
        self.sidecar("csi-provisioner", &flags, more)
    }

    pub fn csi_attacher(&self, more: &[&str]) -> Process {
        let flags = [
            "--timeout=6m",
            "--feature-gates=MutableCSINodeAllocatableCount=true",
            "--worker-threads=100",
            "--retry-interval-max=5m",
            "--http-endpoint=127.0.0.1:0",
        ];
        self.sidecar("csi-attacher", &flags, more)
    }

    /// A sidecar with these flags, which are those of the EBS chart together with what all have.
    fn sidecar(&self, name: &str, flags: &[&str], more: &[&str]) -> Process {
        let kubeconfig = &self.users[name].kubeconfig;
        let of_all = ["--kube-api-qps=20", "--kube-api-burst=100", "--v=2"];
        let launch = self
            .suite
            .sidecar(name, &self.program, kubeconfig, &of_all)
            .args(flags)
            .args(self.election())
            .args(more);
        self.suite.start(&launch).unwrap()
    }

    /// The driver and all functions, each in a process of its own: the driver is the last one.
    pub fn apart(&self, more: &[&str]) -> Vec<Process> {
        vec![
            self.snapshot_controller(more),
            self.csi_snapshotter(more),
            self.csi_resizer(more),
            self.csi_provisioner(more),
            self.csi_attacher(more),
            self.driver(),
        ]
    }

    /// The driver and all functions in one process.
    pub fn one_process(&self) -> Process {
        let user = &self.users[ONE_PROCESS];
        let functions = format!("--functions=driver,{}", FUNCTIONS.join(","));
        let launch = self
            .suite
            .mode(
                "controller",
                &self.program,
                &user.kubeconfig,
                &[&functions, "--v=2"],
            )
            .args([format!(
                "--driver.endpoint=unix://{}",
                self.suite.socket().display()
            )])
            .args(
                ["driver"]
                    .iter()
                    .chain(&FUNCTIONS)
                    .map(|function| format!("--{function}.http-endpoint=127.0.0.1:0")),
            )
            .args(self.election());
        self.suite.start(&launch).unwrap()
    }

    pub fn election(&self) -> [String; 2] {
        [
            "--leader-election=true".to_owned(),
            format!("--leader-election-namespace={}", self.roles.namespace),
        ]
    }
}

/// Ends processes as the kubelet does, and looks how they ended.
pub async fn terminate(processes: impl IntoIterator<Item = Process>) {
    for mut process in processes {
        let status = process.terminate(Duration::from_secs(60)).await.unwrap();
        assert_eq!(
            status.code(),
            Some(0),
            "{}: {}",
            process.name(),
            process.log_tail()
        );
    }
}
