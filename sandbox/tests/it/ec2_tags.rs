//! CreateTags, DeleteTags, DescribeTags.

use std::time::Duration;

use sandbox::ec2::{Ec2Options, Lag};

use crate::ec2_support::{call, pass, region};

#[tokio::test(start_paused = true)]
async fn tags_come_change_and_go() {
    let ec2 = region(Ec2Options::instant());
    let volume = ec2
        .create_volume_fixture("us-east-1a", 1, &[("a", "1"), ("b", "2"), ("c", "3")])
        .unwrap();
    let snapshot = ec2.create_snapshot_fixture(&volume, &[]).unwrap();
    let both = [
        ("ResourceId.1", volume.as_str()),
        ("ResourceId.2", snapshot.as_str()),
    ];
    let set = [both[0], both[1], ("Tag.1.Key", "a"), ("Tag.1.Value", "9")];
    call(&ec2, "CreateTags", &set).await.ok();
    let delete = [
        both[0],
        ("Tag.1.Key", "b"),
        ("Tag.2.Key", "c"),
        ("Tag.2.Value", "4"),
    ];
    call(&ec2, "DeleteTags", &delete).await.ok();
    let state = ec2.state();
    let tags = |pairs: &[(&str, &str)]| {
        let owned = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        owned.collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(state.volumes[&volume].tags, tags(&[("a", "9"), ("c", "3")]));
    assert_eq!(state.snapshots[&snapshot].tags, tags(&[("a", "9")]));
    let filter = [("Filter.1.Name", "key"), ("Filter.1.Value.1", "a")];
    let listed = call(&ec2, "DescribeTags", &filter).await.ok();
    assert_eq!(listed.all("resourceId"), [snapshot.clone(), volume.clone()]);
    assert_eq!(listed.all("resourceType"), ["snapshot", "volume"]);
    call(&ec2, "DeleteTags", &[both[0]]).await.ok();
    assert!(ec2.state().volumes[&volume].tags.is_empty());
}

#[tokio::test(start_paused = true)]
async fn bad_tags_are_refused_as_a_whole() {
    let ec2 = region(Ec2Options::instant());
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let of = ("ResourceId.1", volume.as_str());
    let long = "x".repeat(257);
    let rows: [(&[(&str, &str)], &str); 8] = [
        (&[("Tag.1.Key", "a")], "MissingParameter"),
        (&[of], "MissingParameter"),
        (&[of, ("Tag.1.Key", "aws:a")], "InvalidParameterValue"),
        (&[of, ("Tag.1.Key", &long)], "InvalidParameterValue"),
        (
            &[of, ("Tag.1.Key", "a"), ("Tag.1.Value", &long)],
            "InvalidParameterValue",
        ),
        (
            &[of, ("Tag.1.Key", "a"), ("Tag.2.Key", "a")],
            "InvalidParameterValue",
        ),
        (
            &[of, ("ResourceId.2", "vol-1"), ("Tag.1.Key", "a")],
            "InvalidVolume.NotFound",
        ),
        (&[("ResourceId.1", "x"), ("Tag.1.Key", "a")], "InvalidID"),
    ];
    for (parameters, code) in rows {
        assert_eq!(
            call(&ec2, "CreateTags", parameters).await.code(),
            code,
            "{parameters:?}"
        );
    }
    let mut many = vec![("ResourceId.1".to_owned(), volume.clone())];
    many.extend((1..=51).map(|number| (format!("Tag.{number}.Key"), format!("k{number}"))));
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(call(&ec2, "CreateTags", &many).await.code(), "TagLimitExceeded");
    assert!(ec2.state().volumes[&volume].tags.is_empty());
    call(&ec2, "CreateTags", &many[..51]).await.ok();
    let one_more = [of, ("Tag.1.Key", "other")];
    assert_eq!(
        call(&ec2, "CreateTags", &one_more).await.code(),
        "TagLimitExceeded"
    );
}

#[tokio::test(start_paused = true)]
async fn later_tags_are_seen_late() {
    let mut options = Ec2Options::instant();
    options.lag = Lag::all(Duration::from_secs(3));
    let ec2 = region(options);
    let volume = ec2
        .create_volume_fixture("us-east-1a", 1, &[("a", "old")])
        .unwrap();
    let set = [
        ("ResourceId.1", volume.as_str()),
        ("Tag.1.Key", "a"),
        ("Tag.1.Value", "new"),
    ];
    call(&ec2, "CreateTags", &set).await.ok();
    for (pause, value, found) in [(0, "old", 0), (2999, "old", 0), (1, "new", 1)] {
        pass(pause).await;
        let shown = call(&ec2, "DescribeVolumes", &[("VolumeId.1", &volume)])
            .await
            .ok();
        assert_eq!(shown.one("value"), value);
        let filter = [("Filter.1.Name", "tag:a"), ("Filter.1.Value.1", "new")];
        let filtered = call(&ec2, "DescribeVolumes", &filter).await.ok();
        assert_eq!(filtered.all("volumeId").len(), found);
    }
}
