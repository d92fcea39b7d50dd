//! Performance statistics that EBS keeps in its NVMe log page, as series. Source: spec 4.12, 6, Q28; EC2's guide on detailed
//! performance statistics; cases 146, 147.

mod page;
mod series;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::node::{Disks, Mount};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, Opts};

use super::device::volume_in_serial;

pub use page::{InvalidPage, Page};

/// The log page, and how long it is.
const PAGE: u8 = 0xd0;
const LENGTH: usize = 3600;
/// The folder of kubelet's block volumes, beside that of a driver's mounts.
const BLOCK_VOLUMES: &str = "volumeDevices";

/// The series of the volumes that are mounted below a folder, read when somebody scrapes.
pub struct NvmeMetrics {
    disks: Arc<dyn Disks>,
    folders: Vec<PathBuf>,
    instance_id: String,
    scrapes: IntCounter,
    errors: IntCounter,
    duration: Histogram,
    descriptions: Vec<Desc>,
}

impl NvmeMetrics {
    /// Of the volumes below `prefix` (`--csi-mount-point-prefix`), and of block volumes, which kubelet keeps beside it.
    ///
    /// # Errors
    /// Never: names and labels are valid.
    pub fn new(prefix: &Path, instance_id: &str, disks: Arc<dyn Disks>) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            IntCounter::with_opts(Opts::new(name, help).const_label("instance_id", instance_id))
        };
        let scrapes = counter(
            "aws_ebs_csi_nvme_collector_scrapes_total",
            "Scrapes of the log pages of NVMe disks",
        )?;
        let errors = counter(
            "aws_ebs_csi_nvme_collector_errors_total",
            "Log pages that could not be read",
        )?;
        let buckets = vec![
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ];
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "aws_ebs_csi_nvme_collector_duration_seconds",
                "How long reading all log pages took",
            )
            .const_label("instance_id", instance_id)
            .buckets(buckets),
        )?;
        let own = [scrapes.desc(), errors.desc(), duration.desc()];
        let descriptions = own
            .into_iter()
            .flatten()
            .cloned()
            .chain(series::descriptions(instance_id)?);
        Ok(Self {
            descriptions: descriptions.collect(),
            folders: std::iter::once(prefix.to_owned())
                .chain(prefix.parent().map(|parent| parent.join(BLOCK_VOLUMES)))
                .collect(),
            disks,
            instance_id: instance_id.to_owned(),
            scrapes,
            errors,
            duration,
        })
    }

    /// The volumes that are mounted, by ID, and their pages. What cannot be read is counted.
    fn pages(&self) -> BTreeMap<String, Page> {
        let mounts = self.disks.mounts().unwrap_or_else(|error| {
            self.failed(&error.to_string());
            Vec::new()
        });
        let mut pages = BTreeMap::new();
        for disk in disks(&mounts, &self.folders) {
            let serial = self.disks.serial(&disk).unwrap_or_default();
            let Some(id) = volume_in_serial(&serial) else {
                continue;
            };
            let read = self.disks.log_page(&disk, PAGE, LENGTH);
            let page = read
                .map_err(|error| error.to_string())
                .and_then(|bytes| Page::read(&bytes).map_err(|error| format!("{}: {error}", disk.display())));
            match page {
                Ok(page) => drop(pages.insert(id.replacen("vol", "vol-", 1), page)),
                Err(error) => self.failed(&error),
            }
        }
        pages
    }

    fn failed(&self, error: &str) {
        tracing::debug!(error, "no statistics of a volume");
        self.errors.inc();
    }
}

impl Collector for NvmeMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.scrapes.inc();
        let timer = self.duration.start_timer();
        let pages = self.pages();
        timer.observe_duration();
        let own = [
            self.scrapes.collect(),
            self.errors.collect(),
            self.duration.collect(),
        ];
        own.into_iter()
            .flatten()
            .chain(series::families(&self.instance_id, &pages))
            .collect()
    }
}

/// The disks of what is mounted below one of these folders, each once: a file system has its device as the source, a
/// device that is bound has its name as the root.
fn disks(mounts: &[Mount], folders: &[PathBuf]) -> Vec<PathBuf> {
    let is_ours = |mount: &&Mount| folders.iter().any(|folder| mount.target.starts_with(folder));
    let mut disks: Vec<PathBuf> = mounts
        .iter()
        .filter(is_ours)
        .filter_map(|mount| {
            let source = Path::new(&mount.source).strip_prefix("/dev").ok();
            let name = source.or_else(|| mount.root.strip_prefix("/").ok());
            disk(name?.to_str()?)
        })
        .collect();
    disks.sort();
    disks.dedup();
    disks
}

/// The disk of `nvme1n1` and of its partition `nvme1n1p2`; none for other names.
fn disk(name: &str) -> Option<PathBuf> {
    let (controller, rest) = name.strip_prefix("nvme")?.split_once('n')?;
    let namespace = rest.split_once('p').map_or(rest, |(namespace, _)| namespace);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(controller) && is_number(namespace))
        .then(|| format!("/dev/nvme{controller}n{namespace}").into())
}

#[cfg(test)]
mod tests {
    use ::node::HostError;
    use prometheus::{Encoder, Registry, TextEncoder};

    use super::*;

    fn mount(source: &str, root: &str, target: &str) -> Mount {
        Mount {
            source: source.to_owned(),
            root: root.into(),
            target: target.into(),
            fs_type: "any".to_owned(),
            options: Vec::new(),
        }
    }

    const FOLDER: &str = "/var/lib/kubelet/plugins/kubernetes.io/csi/ebs.csi.aws.com";

    #[test]
    fn ebs_case_146_the_disks_of_our_mounts_are_read_once_each() {
        let mounts = [
            mount("/dev/nvme1n1", "/", &format!("{FOLDER}/1/globalmount")),
            mount("/dev/nvme1n1", "/", &format!("{FOLDER}/1/again")),
            mount("/dev/nvme2n1p1", "/", &format!("{FOLDER}/2/globalmount")),
            mount(
                "devtmpfs",
                "/nvme3n1",
                "/var/lib/kubelet/plugins/kubernetes.io/csi/volumeDevices/publish/pv",
            ),
            mount("/dev/nvme0n1p1", "/", "/"),
            mount(
                "/dev/nvme4n1",
                "/",
                "/var/lib/kubelet/plugins/kubernetes.io/csi/another.driver/1",
            ),
            mount("/dev/xvdaa", "/", &format!("{FOLDER}/3/globalmount")),
            mount("tmpfs", "/", &format!("{FOLDER}/4")),
        ];
        let folders = [
            FOLDER.into(),
            "/var/lib/kubelet/plugins/kubernetes.io/csi/volumeDevices".into(),
        ];
        let found: Vec<String> = disks(&mounts, &folders)
            .iter()
            .map(|disk| disk.display().to_string())
            .collect();
        assert_eq!(found, ["/dev/nvme1n1", "/dev/nvme2n1", "/dev/nvme3n1"]);
        for name in [
            "nvme",
            "nvme0",
            "nvmen1",
            "nvme1nx",
            "../nvme1n1",
            "nvme1n1/x",
            "sda",
        ] {
            assert_eq!(disk(name), None, "{name}");
        }
    }

    /// Three disks: a good page, one that is no page of EBS, and one that is no EBS volume.
    struct Three;

    impl Disks for Three {
        fn mounts(&self) -> Result<Vec<Mount>, HostError> {
            let each = (1..=3).map(|number| {
                mount(
                    &format!("/dev/nvme{number}n1"),
                    "/",
                    &format!("{FOLDER}/{number}/globalmount"),
                )
            });
            Ok(each.collect())
        }

        fn serial(&self, disk: &Path) -> Option<String> {
            let is_store = disk.ends_with("nvme3n1");
            let number = disk
                .display()
                .to_string()
                .replace(|c: char| !c.is_ascii_digit(), "");
            Some(if is_store {
                "AWS123".to_owned()
            } else {
                format!("vol0{number}")
            })
        }

        fn log_page(&self, disk: &Path, page: u8, length: usize) -> Result<Vec<u8>, HostError> {
            assert_eq!((page, length), (0xd0, 3600));
            assert!(!disk.ends_with("nvme3n1"), "an instance store has no such page");
            Ok(if disk.ends_with("nvme1n1") {
                page::tests::example()
            } else {
                vec![0; length]
            })
        }
    }

    fn served() -> Registry {
        let registry = Registry::new();
        let metrics = NvmeMetrics::new(Path::new(FOLDER), "i-1", Arc::new(Three)).unwrap();
        registry.register(Box::new(metrics)).unwrap();
        registry
    }

    const HEAD: &str = "\
# Metrics of the node service

Made from what it serves of volumes on NVMe disks, by `UPDATE_METRICS=1 cargo test -p ebs-driver nvme`; a test fails while the page
differs from it. They are upstream's, from EBS's own statistics of each volume, read when somebody scrapes
(`--csi-mount-point-prefix`, `--http-endpoint`). What all processes serve is in [`metrics.md`](metrics.md).

| Metric | Kind | Labels | What it is |
|---|---|---|---|
";

    #[test]
    fn the_page_of_the_metrics_of_nodes_is_what_they_serve() {
        let row = |family: &MetricFamily| {
            let labels = family.get_metric()[0].get_label().iter();
            let labels: Vec<String> = labels.map(|label| format!("`{}`", label.name())).collect();
            let kind = format!("{:?}", family.get_field_type()).to_lowercase();
            let (name, labels) = (family.name(), labels.join(", "));
            format!("| `{name}` | {kind} | {labels} | {} |\n", family.help())
        };
        let rows: String = served().gather().iter().map(row).collect();
        let page = format!("{HEAD}{rows}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics-node.md");
        if std::env::var_os("UPDATE_METRICS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), page);
    }

    #[test]
    fn ebs_case_147_the_series_are_upstreams() {
        let registry = served();
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let labels = r#"instance_id="i-1",volume_id="vol-011""#;
        for line in [
            format!("aws_ebs_csi_read_ops_total{{{labels}}} 1"),
            format!("aws_ebs_csi_write_ops_total{{{labels}}} 2"),
            format!("aws_ebs_csi_read_bytes_total{{{labels}}} 3"),
            format!("aws_ebs_csi_write_bytes_total{{{labels}}} 4"),
            format!("aws_ebs_csi_read_seconds_total{{{labels}}} 0.000005"),
            format!("aws_ebs_csi_write_seconds_total{{{labels}}} 0.000006"),
            format!("aws_ebs_csi_exceeded_iops_seconds_total{{{labels}}} 0.000007"),
            format!("aws_ebs_csi_exceeded_tp_seconds_total{{{labels}}} 0.000008"),
            format!("aws_ebs_csi_ec2_exceeded_iops_seconds_total{{{labels}}} 0.000009"),
            format!("aws_ebs_csi_ec2_exceeded_tp_seconds_total{{{labels}}} 0.00001"),
            format!("aws_ebs_csi_volume_queue_length{{{labels}}} 11"),
            format!("aws_ebs_csi_read_io_latency_seconds_bucket{{{labels},le=\"0.001\"}} 5"),
            format!("aws_ebs_csi_read_io_latency_seconds_bucket{{{labels},le=\"0.002\"}} 12"),
            format!("aws_ebs_csi_read_io_latency_seconds_count{{{labels}}} 12"),
            format!("aws_ebs_csi_read_io_latency_seconds_sum{{{labels}}} 0"),
            format!("aws_ebs_csi_write_io_latency_seconds_count{{{labels}}} 0"),
            "aws_ebs_csi_nvme_collector_scrapes_total{instance_id=\"i-1\"} 1".to_owned(),
            "aws_ebs_csi_nvme_collector_errors_total{instance_id=\"i-1\"} 1".to_owned(),
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert!(
            text.contains("# TYPE aws_ebs_csi_read_ops_total counter"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE aws_ebs_csi_volume_queue_length gauge"),
            "{text}"
        );
        assert!(!text.contains("vol-021"), "a page that is none gives no series");
    }
}
