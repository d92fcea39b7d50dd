use super::*;
use crate::parameters::ClaimMetadata;

fn class(tags: &[&str]) -> VolumeParameters {
    VolumeParameters {
        metadata: ClaimMetadata {
            claim_name: Some("data".into()),
            claim_namespace: Some("ns-prod".into()),
            volume_name: Some("pvc-1".into()),
        },
        tag_specifications: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..VolumeParameters::default()
    }
}

fn snapshot_class(tags: &[&str]) -> SnapshotParameters {
    SnapshotParameters {
        tag_specifications: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..SnapshotParameters::default()
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn dropping() -> TagPolicy {
    TagPolicy {
        invalid: InvalidTags::Drop,
        ..TagPolicy::default()
    }
}

#[test]
fn ebs_case_43_values_are_templates() {
    let parameters = class(&[r#"team={{ .PVCNamespace | field "-" 1 | toUpper }}"#]);
    let tags = of_volume(&TagPolicy::default(), "pvc-1", &parameters).unwrap();
    assert_eq!(
        tags.tags,
        map(&[
            ("CSIVolumeName", "pvc-1"),
            ("ebs.csi.aws.com/cluster", "true"),
            ("kubernetes.io/created-for/pv/name", "pvc-1"),
            ("kubernetes.io/created-for/pvc/name", "data"),
            ("kubernetes.io/created-for/pvc/namespace", "ns-prod"),
            ("team", "PROD"),
        ])
    );
}

#[test]
fn ebs_case_44_failing_templates_are_refused_or_dropped() {
    for tag in ["a={{ .PVCName | js }}", "a={{ .Nope }}"] {
        let refused = of_volume(&TagPolicy::default(), "pvc-1", &class(&[tag]));
        assert!(matches!(refused, Err(TagError::Template { .. })), "{tag}");
        let tags = of_volume(&dropping(), "pvc-1", &class(&[tag, "b=c"])).unwrap();
        assert_eq!(tags.dropped.len(), 1);
        assert!(!tags.tags.contains_key("a"));
        assert_eq!(tags.tags["b"], "c");
    }
    let extra = TagPolicy {
        extra: map(&[("a", "{{ .Nope }}")]),
        ..dropping()
    };
    assert_eq!(of_volume(&extra, "pvc-1", &class(&[])).unwrap().dropped.len(), 1);
}

#[test]
fn ebs_case_45_no_value_and_reserved_keys_are_refused() {
    assert_eq!(
        of_volume(&dropping(), "pvc-1", &class(&["abc"])),
        Err(TagError::NoValue("abc".into()))
    );
    for key in [
        "ebs.csi.aws.com/cluster",
        "ebs.csi.aws.com/cluster-name",
        "CSIVolumeName",
        "CSIVolumeSnapshotName",
        "kubernetes.io/x",
        "kubernetes.iox",
    ] {
        let tag = format!("{key}=x");
        assert_eq!(
            of_volume(&TagPolicy::default(), "pvc-1", &class(&[&tag])),
            Err(TagError::Reserved(key.into()))
        );
        assert_eq!(
            of_volume(&dropping(), "pvc-1", &class(&[&tag]))
                .unwrap()
                .dropped
                .len(),
            1
        );
    }
    assert!(
        of_volume(
            &TagPolicy::default(),
            "pvc-1",
            &class(&["Name=x", "KubernetesCluster=y"])
        )
        .is_ok()
    );
}

#[test]
fn ebs_case_46_flags_win_on_volumes_and_lose_on_snapshots() {
    let policy = TagPolicy {
        extra: map(&[("team", "ops")]),
        ..TagPolicy::default()
    };
    let volume = of_volume(&policy, "pvc-1", &class(&["team=dev"])).unwrap();
    assert_eq!(volume.tags["team"], "ops");
    let snapshot = of_snapshot(&policy, "snapshot-1", &snapshot_class(&["team=dev"])).unwrap();
    assert_eq!(snapshot.tags["team"], "dev");
}

#[test]
fn extra_tags_are_templates_on_volumes_and_literal_on_snapshots() {
    let policy = TagPolicy {
        extra: map(&[("claim", "{{ .PVCName }}")]),
        ..TagPolicy::default()
    };
    assert_eq!(
        of_volume(&policy, "pvc-1", &class(&[])).unwrap().tags["claim"],
        "data"
    );
    let snapshot = of_snapshot(&policy, "snapshot-1", &snapshot_class(&[])).unwrap();
    assert_eq!(snapshot.tags["claim"], "{{ .PVCName }}");
}

#[test]
fn ebs_case_47_the_cluster_tags_of_a_snapshot() {
    let policy = TagPolicy {
        cluster_id: Some("c1".into()),
        ..TagPolicy::default()
    };
    let snapshot = of_snapshot(&policy, "snapshot-1", &snapshot_class(&[])).unwrap();
    assert_eq!(
        snapshot.tags,
        map(&[
            ("CSIVolumeSnapshotName", "snapshot-1"),
            ("Name", "c1-dynamic-snapshot-1"),
            ("ebs.csi.aws.com/cluster", "true"),
            ("ebs.csi.aws.com/cluster-name", "c1"),
            ("kubernetes.io/cluster/c1", "owned"),
        ])
    );
    let volume = of_volume(&policy, "pvc-1", &class(&[])).unwrap();
    assert_eq!(volume.tags["KubernetesCluster"], "c1");
}

#[test]
fn the_iops_ratio_is_stored_for_later_resizes() {
    let parameters = VolumeParameters {
        iops_per_gib: Some(10),
        auto_iops_on_modify: Some(true),
        ..class(&[])
    };
    let tags = of_volume(&TagPolicy::default(), "pvc-1", &parameters)
        .unwrap()
        .tags;
    assert_eq!(tags["ebs.csi.aws.com/IOPSPerGb"], "10");
    assert_eq!(tags["ebs.csi.aws.com/AllowAutoIOPSIncreaseOnModify"], "true");
}

#[test]
fn ebs_case_6_flags_are_checked_at_start() {
    assert_eq!(parse_flag("a=b,c=d=e,"), Ok(map(&[("a", "b"), ("c", "d=e")])));
    assert_eq!(
        parse_flag("kubernetes.io/x=1"),
        Err(TagError::Reserved("kubernetes.io/x".into()))
    );
    assert_eq!(parse_flag("a"), Err(TagError::NoValue("a".into())));
}

#[test]
fn ebs_case_201_blanks_around_the_tags_of_flags_do_not_count() {
    for (text, expected) in [
        ("a=b, c=d", &[("a", "b"), ("c", "d")][..]),
        (" a = b c ,\td=e = f ", &[("a", "b c"), ("d", "e = f")]),
        ("a= ", &[("a", "")]),
    ] {
        assert_eq!(parse_flag(text), Ok(map(expected)), "{text:?}");
    }
    for key in ["kubernetes.io/x", "CSIVolumeName"] {
        let reserved = Err(TagError::Reserved(key.into()));
        assert_eq!(parse_flag(&format!("a=b, {key} =1")), reserved, "{key}");
    }
    assert_eq!(parse_flag("a=b, "), Err(TagError::NoValue(" ".into())));
    let tags = of_volume(&TagPolicy::default(), "pvc-1", &class(&[" a= b"])).unwrap();
    assert_eq!(tags.tags[" a"], " b", "a class says what it means");
}
