//! Filters and pages.

use sandbox::ec2::{Ec2, Ec2Options};

use crate::ec2_support::{call, region};

/// A filter's name and values.
type Filter<'a> = (&'a str, &'a [&'a str]);

async fn found(ec2: &Ec2, filters: &[Filter<'_>]) -> usize {
    let mut form = Vec::new();
    for ((name, values), number) in filters.iter().zip(1..) {
        form.push((format!("Filter.{number}.Name"), (*name).to_owned()));
        for (value, position) in values.iter().zip(1..) {
            form.push((format!("Filter.{number}.Value.{position}"), (*value).to_owned()));
        }
    }
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
    call(ec2, "DescribeVolumes", &form)
        .await
        .ok()
        .all("volumeId")
        .len()
}

#[tokio::test(start_paused = true)]
async fn filters_find_what_they_say() {
    let ec2 = region(Ec2Options::instant());
    let first = ec2
        .create_volume_fixture("us-east-1a", 1, &[("team", "ops"), ("name", "a*b")])
        .unwrap();
    ec2.create_volume_fixture("us-east-1b", 2, &[("team", "dev")])
        .unwrap();
    ec2.create_volume_fixture("us-east-1b", 2, &[]).unwrap();
    let rows: [(&[Filter<'_>], usize); 14] = [
        (&[], 3),
        (&[("tag:team", &["ops"])], 1),
        (&[("tag:team", &["ops", "dev"])], 2),
        (&[("tag:team", &["*"])], 2),
        (&[("tag:Team", &["ops"])], 0),
        (&[("tag:team", &[])], 0),
        (&[("tag-key", &["team"])], 2),
        (&[("tag:name", &[r"a\*b"])], 1),
        (&[("tag:name", &[r"a\*c"])], 0),
        (
            &[("availability-zone", &["us-east-1b"]), ("tag-key", &["team"])],
            1,
        ),
        (&[("size", &["2"])], 2),
        (&[("status", &["available"])], 3),
        (&[("volume-type", &["gp3"]), ("encrypted", &["false"])], 3),
        (&[("volume-id", &[&first, "vol-1"])], 1),
    ];
    for (filters, number) in rows {
        assert_eq!(found(&ec2, filters).await, number, "{filters:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_has_at_most_200_filter_values() {
    let ec2 = region(Ec2Options::instant());
    for (number, fits) in [(200, true), (201, false)] {
        let mut form = vec![("Filter.1.Name".to_owned(), "tag:name".to_owned())];
        form.extend((1..=number).map(|number| (format!("Filter.1.Value.{number}"), number.to_string())));
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
        let answer = call(&ec2, "DescribeSnapshots", &form).await;
        if fits {
            answer.ok();
        } else {
            assert_eq!(answer.code(), "FilterLimitExceeded");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_follow_each_other() {
    let ec2 = region(Ec2Options::instant());
    let mut made: Vec<String> = (0..12)
        .map(|_| ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap())
        .collect();
    made.sort();
    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let mut form = vec![("MaxResults", "5")];
        if !token.is_empty() {
            form.push(("NextToken", &token));
        }
        let page = call(&ec2, "DescribeVolumes", &form).await.ok();
        seen.extend(page.all("volumeId"));
        pages += 1;
        token = page.one("nextToken");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((seen, pages), (made.clone(), 3));
    let whole = call(&ec2, "DescribeVolumes", &[("MaxResults", "0")]).await.ok();
    assert_eq!(whole.all("volumeId").len(), 12);
    ec2.configure(|options| options.rules.page = 10);
    let forced = call(&ec2, "DescribeVolumes", &[]).await.ok();
    assert_eq!(forced.all("volumeId").len(), 10);
    assert!(!forced.one("nextToken").is_empty());
    let both = [("VolumeId.1", made[0].as_str()), ("MaxResults", "5")];
    assert_eq!(
        call(&ec2, "DescribeVolumes", &both).await.code(),
        "InvalidParameterCombination"
    );
}

#[tokio::test(start_paused = true)]
async fn unknown_ids_are_all_named() {
    let ec2 = region(Ec2Options::instant());
    let known = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let ids = [
        ("VolumeId.1", "vol-2"),
        ("VolumeId.2", &known),
        ("VolumeId.3", "vol-1"),
    ];
    let answer = call(&ec2, "DescribeVolumes", &ids).await;
    assert_eq!(answer.code(), "InvalidVolume.NotFound");
    assert_eq!(answer.one("Message"), "The volumes 'vol-2, vol-1' do not exist.");
    let snapshots = call(&ec2, "DescribeSnapshots", &[("SnapshotId.1", "snap-1")]).await;
    assert_eq!(snapshots.one("Message"), "The snapshot 'snap-1' does not exist.");
    let wrong = call(&ec2, "DescribeSnapshots", &[("SnapshotId.1", "vol-1")]).await;
    assert_eq!(wrong.code(), "InvalidParameterValue");
    let instances = call(
        &ec2,
        "DescribeInstances",
        &[("InstanceId.1", "i-1"), ("InstanceId.2", "i-2")],
    )
    .await;
    assert_eq!(
        instances.one("Message"),
        "The instance IDs 'i-1, i-2' do not exist"
    );
    let malformed = call(&ec2, "DescribeInstances", &[("InstanceId.1", "x")]).await;
    assert_eq!(malformed.code(), "InvalidInstanceID.Malformed");
}
