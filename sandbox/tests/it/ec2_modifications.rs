//! ModifyVolume and DescribeVolumesModifications.

use sandbox::ec2::{Ec2, Ec2Options, Fault, ModificationRate, When};

use crate::ec2_support::{Answer, call, pass, region};

const HOUR: u64 = 3600 * 1000;

fn with_volume(options: Ec2Options) -> (Ec2, String) {
    let ec2 = region(options);
    let volume = ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    (ec2, volume)
}

async fn modify(ec2: &Ec2, volume: &str, parameters: &[(&str, &str)]) -> Answer {
    let mut form = vec![("VolumeId", volume)];
    form.extend_from_slice(parameters);
    call(ec2, "ModifyVolume", &form).await
}

async fn describe(ec2: &Ec2, volume: &str) -> Answer {
    call(ec2, "DescribeVolumesModifications", &[("VolumeId.1", volume)]).await
}

#[tokio::test(start_paused = true)]
async fn a_modification_takes_effect_when_it_is_optimizing() {
    let (ec2, volume) = with_volume(Ec2Options::default());
    let begun = modify(&ec2, &volume, &[("Size", "20"), ("Iops", "4000")])
        .await
        .ok();
    assert_eq!(
        begun.body.split_once("</requestId>").unwrap().1,
        format!(
            "<volumeModification><volumeId>{volume}</volumeId><modificationState>modifying</modificationState>\
             <targetSize>20</targetSize><targetIops>4000</targetIops><targetVolumeType>gp3</targetVolumeType>\
             <targetThroughput>125</targetThroughput><targetMultiAttachEnabled>false</targetMultiAttachEnabled>\
             <originalSize>10</originalSize><originalIops>3000</originalIops>\
             <originalVolumeType>gp3</originalVolumeType><originalThroughput>125</originalThroughput>\
             <originalMultiAttachEnabled>false</originalMultiAttachEnabled><progress>0</progress>\
             <startTime>2026-01-01T00:00:00.000Z</startTime></volumeModification></ModifyVolumeResponse>"
        )
    );
    for (pause, state, progress, size) in [
        (1999, "modifying", "22", 10),
        (1, "optimizing", "22", 20),
        (6999, "optimizing", "99", 20),
        (1, "completed", "100", 20),
    ] {
        pass(pause).await;
        let shown = describe(&ec2, &volume).await.ok();
        assert_eq!(
            (
                shown.one("modificationState").as_str(),
                shown.one("progress").as_str()
            ),
            (state, progress)
        );
        assert_eq!(ec2.state().volumes[&volume].size_gib, size);
    }
    assert_eq!(ec2.state().volumes[&volume].iops, Some(4000));
    assert_eq!(
        describe(&ec2, &volume).await.one("endTime"),
        "2026-01-01T00:00:09.000Z"
    );
}

#[tokio::test(start_paused = true)]
async fn a_running_modification_excludes_the_next() {
    let (ec2, volume) = with_volume(Ec2Options::default());
    modify(&ec2, &volume, &[("Size", "20")]).await.ok();
    for (pause, state) in [(0, "MODIFYING"), (2000, "OPTIMIZING")] {
        pass(pause).await;
        let refused = modify(&ec2, &volume, &[("Size", "30")]).await;
        assert_eq!(refused.code(), "IncorrectModificationState");
        assert!(refused.one("Message").ends_with(state), "{}", refused.body);
    }
    pass(7000).await;
    modify(&ec2, &volume, &[("Size", "30")]).await.ok();
}

#[tokio::test(start_paused = true)]
async fn bad_modifications_are_refused() {
    let (ec2, volume) = with_volume(Ec2Options::instant());
    let rows: [(&[(&str, &str)], &str); 8] = [
        (&[], "MissingParameter"),
        (&[("Size", "9")], "InvalidParameterValue"),
        (&[("Size", "65537")], "InvalidParameterValue"),
        (&[("VolumeType", "gp9")], "UnknownVolumeType"),
        (&[("VolumeType", "io2")], "MissingParameter"),
        (&[("VolumeType", "st1")], "InvalidParameterValue"),
        (
            &[("VolumeType", "gp2"), ("Throughput", "125")],
            "InvalidParameterCombination",
        ),
        (&[("Iops", "5001")], "InvalidParameterValue"),
    ];
    for (parameters, code) in rows {
        assert_eq!(
            modify(&ec2, &volume, parameters).await.code(),
            code,
            "{parameters:?}"
        );
    }
    assert_eq!(
        modify(&ec2, "vol-1", &[("Size", "9")]).await.code(),
        "InvalidVolume.NotFound"
    );
    modify(&ec2, &volume, &[("VolumeType", "io2"), ("Iops", "500")])
        .await
        .ok();
    let state = ec2.state();
    assert_eq!(
        (state.volumes[&volume].iops, state.volumes[&volume].throughput),
        (Some(500), None)
    );
}

/// Decision 23: four modifications in a rolling day, or one in six hours.
#[tokio::test(start_paused = true)]
async fn the_rate_of_modifications_is_limited() {
    let (ec2, volume) = with_volume(Ec2Options::instant());
    for size in ["11", "12", "13", "14"] {
        modify(&ec2, &volume, &[("Size", size)]).await.ok();
        pass(HOUR).await;
    }
    let refused = modify(&ec2, &volume, &[("Size", "15")]).await;
    assert_eq!(refused.code(), "VolumeModificationRateExceeded");
    assert!(!refused.one("Message").contains("2026"), "{}", refused.body);
    ec2.configure(|options| options.rules.modification_rate_names_time = true);
    let refused = modify(&ec2, &volume, &[("Size", "15")]).await;
    assert!(
        refused
            .one("Message")
            .contains("again at 2026-01-02T00:00:00.000Z"),
        "{}",
        refused.body
    );
    pass(20 * HOUR).await;
    modify(&ec2, &volume, &[("Size", "15")]).await.ok();
    assert_eq!(
        modify(&ec2, &volume, &[("Size", "16")]).await.code(),
        "VolumeModificationRateExceeded"
    );

    let (ec2, volume) = with_volume(Ec2Options::instant());
    ec2.configure(|options| options.rules.modification_rate = ModificationRate::OnceInSixHours);
    modify(&ec2, &volume, &[("Size", "11")]).await.ok();
    pass(6 * HOUR - 1).await;
    assert_eq!(
        modify(&ec2, &volume, &[("Size", "12")]).await.code(),
        "VolumeModificationRateExceeded"
    );
    pass(1).await;
    modify(&ec2, &volume, &[("Size", "12")]).await.ok();
}

#[tokio::test(start_paused = true)]
async fn the_amount_under_modification_is_limited() {
    let (ec2, volume) = with_volume(Ec2Options::default());
    let other = ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    ec2.configure(|options| options.rules.modification_gib = Some(30));
    modify(&ec2, &volume, &[("Size", "20")]).await.ok();
    let refused = modify(&ec2, &other, &[("Size", "11")]).await;
    assert_eq!(refused.code(), "VolumeModificationSizeLimitExceeded");
    pass(10_000).await;
    modify(&ec2, &other, &[("Size", "11")]).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_modification_may_fail() {
    let (ec2, volume) = with_volume(Ec2Options::default());
    ec2.inject("ModifyVolume", When::Next, Fault::FailsLater);
    modify(&ec2, &volume, &[("Size", "20")]).await.ok();
    pass(60_000).await;
    assert_eq!(describe(&ec2, &volume).await.one("modificationState"), "failed");
    assert_eq!(ec2.state().volumes[&volume].size_gib, 10);
    modify(&ec2, &volume, &[("Size", "20")]).await.ok();
}

/// Spec ebs-driver Q5: asked for by ID a never-modified volume is an error, asked for by filter it has no row.
#[tokio::test(start_paused = true)]
async fn a_volume_that_was_never_modified_has_no_modification() {
    let (ec2, volume) = with_volume(Ec2Options::instant());
    assert_eq!(
        describe(&ec2, &volume).await.code(),
        "InvalidVolumeModification.NotFound"
    );
    assert_eq!(describe(&ec2, "vol-1").await.code(), "InvalidVolume.NotFound");
    let filter = [
        ("Filter.1.Name", "volume-id"),
        ("Filter.1.Value.1", volume.as_str()),
    ];
    let none = call(&ec2, "DescribeVolumesModifications", &filter).await.ok();
    assert!(none.all("volumeId").is_empty());
}
