//! `docs/parameters.md` is what reads the classes: the tables of `parameters`, and what the readers say to wrong values.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use ebs_driver::iops::known_limits;
use ebs_driver::parameters::format::Target;
use ebs_driver::parameters::known::Known;
use ebs_driver::parameters::{
    ChangeParameters, ParameterError, SnapshotParameters, VolumeParameters, mutable, snapshot, volume,
};
use sandbox::ec2::{Iops, VOLUME_TYPES};

/// Set this variable to any value to write the page anew.
const UPDATE: &str = "UPDATE_PARAMETERS";

const HEAD: &str = "\
# Parameters of classes

Made from the tables in [`ebs-driver/src/parameters/`](../ebs-driver/src/parameters), by which classes are read, by
`UPDATE_PARAMETERS=1 cargo test -p ebs-driver parameters_page`; a test fails while it differs from them.

A wrong value is InvalidArgument with the text of the last column, before anything is asked of EC2; `<value>` is what was
given. What EC2 refuses by value (a size or a number of IOPS that the type does not have) is InvalidArgument too, with EC2's
own sentence. A parameter that is not in the tables is refused by its name, and so is one that is given twice in different
cases.
";

/// Wrong values, of which the first one that is refused is told.
const WRONG: [&str; 4] = ["?", "-1", "nonsense", ""];

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// What is said of a wrong value of this parameter alone, with its place in the text marked.
fn refusal(key: &str, parse: impl Fn(&[(&str, &str)]) -> Result<(), ParameterError>) -> String {
    let key = key.replace('*', "_1");
    let text = WRONG.iter().find_map(|value| {
        let refused = parse(&[(&key, value)]).err()?;
        Some(refused.to_string().replace(&format!("{value:?}"), "\"<value>\""))
    });
    text.unwrap_or_default()
}

fn table<P>(
    page: &mut String,
    known: &[Known<P>],
    parse: impl Fn(&[(&str, &str)]) -> Result<(), ParameterError>,
) {
    page.push_str("\n| Parameter | Values | What it does | Of a wrong value |\n|---|---|---|---|\n");
    for one in known {
        let refused = refusal(one.key, &parse);
        writeln!(
            page,
            "| `{}` | {} | {} | {refused} |",
            one.key, one.values, one.meaning
        )
        .unwrap();
    }
}

/// Values that go together badly, and what is said.
fn together(
    page: &mut String,
    rows: &[&[(&str, &str)]],
    parse: impl Fn(&[(&str, &str)]) -> Result<(), ParameterError>,
) {
    page.push_str("\n| Together | What is said |\n|---|---|\n");
    for row in rows {
        let given: Vec<String> = row
            .iter()
            .map(|(key, value)| format!("`{key}: {value}`"))
            .collect();
        let refused = parse(row).expect_err("a row of what is refused");
        writeln!(page, "| {} | {refused} |", given.join(", ")).unwrap();
    }
}

fn storage_class(pairs: &[(&str, &str)]) -> Result<(), ParameterError> {
    let parsed = VolumeParameters::parse(&map(pairs))?;
    parsed.format.check(Target::FileSystem("ext4"))?;
    parsed.requested_iops(1).map(drop)
}

fn attributes_class(pairs: &[(&str, &str)]) -> Result<(), ParameterError> {
    ChangeParameters::parse(&map(pairs)).map(drop)
}

fn snapshot_class(pairs: &[(&str, &str)]) -> Result<(), ParameterError> {
    let parsed = SnapshotParameters::parse(&map(pairs))?;
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    parsed.lock.map_or(Ok(()), |lock| lock.check(now))
}

/// Which formatting parameters there are for what.
fn formatting(page: &mut String) {
    let targets = [
        ("ext4", Target::FileSystem("ext4")),
        ("ext3", Target::FileSystem("ext3")),
        ("xfs", Target::FileSystem("xfs")),
        ("block volumes", Target::Block),
    ];
    let names: Vec<&str> = targets.iter().map(|(name, _)| *name).collect();
    write!(
        page,
        "\n| Formatting | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    )
    .unwrap();
    let of_format = |known: &&Known<VolumeParameters>| {
        let parsed = VolumeParameters::parse(&map(&[(known.key, "true")]));
        parsed.is_ok_and(|parsed| parsed.format.iter().next().is_some())
    };
    for known in volume::PARAMETERS.iter().filter(of_format) {
        let with_its_need = [(known.key, "true"), ("ext4BigAlloc", "true")];
        let alone = [(known.key, "true")];
        let cells = targets.map(|(_, target)| {
            let fits = |pairs: &[(&str, &str)]| {
                VolumeParameters::parse(&map(pairs))
                    .unwrap()
                    .format
                    .check(target)
                    .is_ok()
            };
            if fits(&alone) || fits(&with_its_need) {
                "yes"
            } else {
                "no"
            }
        });
        writeln!(page, "| `{}` | {} |", known.key, cells.join(" | ")).unwrap();
    }
}

/// What EC2 allows of each type, as the sandbox's EC2 knows it, and what the driver fits IOPS into.
fn types(page: &mut String) {
    page.push_str(
        "\n## Limits of the types\n\nWhat EC2 allows. IOPS by ratio are fitted between the least and the most; the most is \
         asked of EC2 by a dry run, and where EC2 does not tell, the last column holds.\n\n\
         | Type | GiB | IOPS | IOPS for each GiB | Throughput, MiB/s | Several instances | Most by ratio, unless EC2 says |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for kind in &VOLUME_TYPES {
        let (iops, per_gib) = match kind.iops {
            Iops::None => ("not to be asked for".to_owned(), String::new()),
            Iops::PerGib { factor, min, max } => (
                format!("{min} to {max}, not to be asked for"),
                format!("{factor}"),
            ),
            Iops::Provisioned {
                min,
                max,
                per_gib,
                default,
            } => {
                let default = default.map_or(", must be given".to_owned(), |iops| {
                    format!(", {iops} unless given")
                });
                (format!("{min} to {max}{default}"), format!("at most {per_gib}"))
            }
        };
        let throughput = kind
            .throughput
            .map_or("not to be asked for".to_owned(), |(least, most)| {
                format!("{least} to {most}")
            });
        let several = match (kind.name, kind.multi_attach) {
            ("io2", true) => "block volumes with ReadWriteMany",
            (_, true) => "refused by the driver",
            _ => "no",
        };
        let fallback = known_limits(kind.name).map_or(String::new(), |(_, most, _)| most.to_string());
        writeln!(
            page,
            "| `{}` | {} to {} | {iops} | {per_gib} | {throughput} | {several} | {fallback} |",
            kind.name, kind.min_gib, kind.max_gib
        )
        .unwrap();
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## StorageClass\n\nKeys may be spelled in any case, but for `tagSpecification`.\n");
    table(&mut page, volume::PARAMETERS, storage_class);
    let rows: [&[(&str, &str)]; 2] = [
        &[("iops", "3000"), ("iopsPerGB", "10")],
        &[("iops", "3000"), ("IOPS", "4000")],
    ];
    together(&mut page, &rows, storage_class);
    formatting(&mut page);
    page.push_str("\n## VolumeAttributesClass\n\nKeys are spelled exactly so.\n");
    table(&mut page, mutable::PARAMETERS, attributes_class);
    together(
        &mut page,
        &[&[("iops", "3000"), ("iopspergb", "10")]],
        attributes_class,
    );
    page.push_str(
        "\n## VolumeSnapshotClass and VolumeGroupSnapshotClass\n\nKeys may be spelled in any case, but for `tagSpecification`.\n",
    );
    table(&mut page, snapshot::PARAMETERS, snapshot_class);
    let rows: [&[(&str, &str)]; 5] = [
        &[
            ("lockDuration", "1"),
            ("lockExpirationDate", "2030-01-01T00:00:00Z"),
        ],
        &[("lockMode", "governance")],
        &[("lockMode", "governance"), ("lockDuration", "40000")],
        &[
            ("lockMode", "governance"),
            ("lockExpirationDate", "2020-01-01T00:00:00Z"),
        ],
        &[
            ("lockMode", "governance"),
            ("lockDuration", "1"),
            ("lockCoolOffPeriod", "1"),
        ],
    ];
    together(&mut page, &rows, snapshot_class);
    types(&mut page);
    page
}

#[test]
fn parameters_page_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/parameters.md");
    let page = page();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/parameters.md is not what the tables say; run `{UPDATE}=1 cargo test -p ebs-driver parameters_page`"
    );
}

/// A table's key is read in the spelling in which it is documented.
#[test]
fn parameters_page_names_keys_that_are_read() {
    fn known<P>(tables: &[Known<P>], parse: impl Fn(&[(&str, &str)]) -> Result<(), ParameterError>) {
        for one in tables {
            let key = one.key.replace('*', "_1");
            let answer = parse(&[(&key, "1")]);
            assert!(!matches!(answer, Err(ParameterError::Unknown { .. })), "{key}");
        }
    }
    known(volume::PARAMETERS, storage_class);
    known(mutable::PARAMETERS, attributes_class);
    known(snapshot::PARAMETERS, snapshot_class);
}
