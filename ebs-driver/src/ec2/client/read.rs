//! Reads the body of an answer. Only what was read to its last end tag counts: an answer that was cut off says neither
//! that something was done nor that something is not there.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde::de::DeserializeOwned;

use super::super::codes::Meaning;
use super::super::errors::{Action, Ec2Error, Failure, Lost, encoded_part, stable_message};
use super::answers::Refusal;

/// What EC2 says, or why it says nothing.
pub(super) fn answer<A: DeserializeOwned>(action: Action, status: u16, body: &[u8]) -> Result<A, Ec2Error> {
    let unreadable = |why: &dyn ToString| {
        let detail = format!("HTTP status {status}: {}", why.to_string());
        Ec2Error::lost(action, Lost::Malformed, detail)
    };
    let body = std::str::from_utf8(body).map_err(|error| unreadable(&error))?;
    if (200..300).contains(&status) {
        let expected = format!("{}Response", action.name());
        check(body, &expected).map_err(|why| unreadable(&why))?;
        return quick_xml::de::from_str(body).map_err(|error| unreadable(&error));
    }
    let refusal: Option<Refusal> = check(body, "Response")
        .ok()
        .and_then(|()| quick_xml::de::from_str(body).ok());
    let (causes, request_id) = refusal.map_or_else(Default::default, Refusal::into_parts);
    match causes.into_iter().next() {
        Some(cause) => {
            let error = Ec2Error {
                action,
                failure: Failure::Answer {
                    status,
                    code: cause.code,
                    message: stable_message(&cause.message),
                },
            };
            if error.meaning() == Meaning::Denied {
                log_denial(&error, encoded_part(&cause.message), &request_id);
            }
            Err(error)
        }
        None => Err(unreadable(&"no error code")),
    }
}

/// What differs from call to call is no part of the error, so that equal errors read equal in events. Here it is logged,
/// once for each refused request.
fn log_denial(error: &Ec2Error, encoded: Option<&str>, request_id: &str) {
    match encoded {
        Some(encoded) => tracing::warn!(
            request_id,
            encoded_message = encoded,
            "{error}; `aws sts decode-authorization-message` reads the encoded message"
        ),
        None => tracing::warn!(request_id, "{error}"),
    }
}

/// Whether the body is one whole element of this name.
fn check(body: &str, expected: &str) -> Result<(), String> {
    let mut reader = Reader::from_str(body);
    let mut depth = 0_usize;
    let mut is_begun = false;
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(element) | Event::Empty(element)
                if !is_begun && element.local_name().as_ref() != expected =>
            {
                return Err(format!(
                    "{} in place of {expected}",
                    element.local_name().as_ref()
                ));
            }
            Event::Start(_) => {
                is_begun = true;
                depth += 1;
            }
            Event::Empty(_) => is_begun = true,
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Eof if is_begun && depth == 0 => return Ok(()),
            Event::Eof => return Err(format!("it ends before {expected} does")),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::answers::{SnapshotElement, Snapshots};
    use super::*;
    use crate::ec2::types::Snapshot;

    const MADE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<CreateSnapshotResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>59dbff89-35bd-4eac-99ed-be587EXAMPLE</requestId>
    <snapshotId>snap-0123456789abcdef0</snapshotId>
    <volumeId>vol-01</volumeId>
    <status>pending</status>
    <startTime>2026-01-01T00:00:00.000Z</startTime>
    <progress></progress>
    <volumeSize>30</volumeSize>
    <description/>
    <tagSet><item><key>a &lt;b&gt;</key><value>&amp; 'c' ü</value></item><item><key>d</key><value/></item></tagSet>
</CreateSnapshotResponse>"#;

    #[test]
    fn an_answer_is_read() {
        let made: SnapshotElement = answer(Action::CreateSnapshot, 200, MADE.as_bytes()).unwrap();
        let made = Snapshot::from(made);
        assert_eq!(made.id, "snap-0123456789abcdef0");
        assert_eq!(made.size_gib, 30);
        assert_eq!(made.started, "2026-01-01T00:00:00Z".parse().ok());
        assert_eq!(made.tags["a <b>"], "& 'c' ü");
        assert_eq!(made.tags["d"], "");
    }

    #[test]
    fn an_answer_that_is_cut_anywhere_is_unclear() {
        for end in 0..MADE.len() {
            if !MADE.is_char_boundary(end) {
                continue;
            }
            let cut = answer::<SnapshotElement>(Action::CreateSnapshot, 200, &MADE.as_bytes()[..end]);
            let error = cut.expect_err(&MADE[..end]);
            assert!(
                matches!(
                    error.failure,
                    Failure::Lost {
                        why: Lost::Malformed,
                        ..
                    }
                ),
                "{error}"
            );
        }
        let cut = "<DescribeSnapshotsResponse><snapshotSet>";
        answer::<Snapshots>(Action::DescribeSnapshots, 200, cut.as_bytes()).unwrap_err();
    }

    #[test]
    fn what_is_not_an_answer_of_the_action_is_unclear() {
        let rows = [
            (
                "<html><body>Please log in.</body></html>",
                "html in place of DescribeSnapshotsResponse",
            ),
            (
                "<DescribeVolumesResponse/>",
                "DescribeVolumesResponse in place of",
            ),
            ("no XML", "it ends before"),
            ("", "it ends before"),
            (
                "<DescribeSnapshotsResponse><snapshotSet><item/></snapshotSet></DescribeSnapshotsResponse>",
                "snapshotId",
            ),
        ];
        for (body, why) in rows {
            let error = answer::<Snapshots>(Action::DescribeSnapshots, 200, body.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn a_refusal_has_code_and_text() {
        let body = "<?xml version=\"1.0\"?><Response><Errors><Error><Code>InvalidVolume.NotFound</Code>\
                    <Message>The volume 'vol-1' does not exist.</Message></Error></Errors>\
                    <RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>";
        let error = answer::<Snapshots>(Action::DescribeSnapshots, 400, body.as_bytes()).unwrap_err();
        assert_eq!(
            error.failure,
            Failure::Answer {
                status: 400,
                code: "InvalidVolume.NotFound".into(),
                message: "The volume 'vol-1' does not exist.".into()
            }
        );
        let error = answer::<Snapshots>(Action::DescribeSnapshots, 502, b"<html>Bad gateway").unwrap_err();
        assert!(
            error.to_string().ends_with("HTTP status 502: no error code"),
            "{error}"
        );
    }

    /// Elements of EC2's answers, and some that are none.
    const NAMES: [&str; 26] = [
        "item",
        "volumeSet",
        "volumeId",
        "size",
        "status",
        "attachmentSet",
        "attachTime",
        "iops",
        "tagSet",
        "key",
        "value",
        "snapshotSet",
        "snapshotId",
        "startTime",
        "volumeModificationSet",
        "modificationState",
        "targetSize",
        "reservationSet",
        "instancesSet",
        "instanceId",
        "blockDeviceMapping",
        "ebs",
        "volumeStatusSet",
        "volumeStatus",
        "nextToken",
        "new",
    ];

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z0-9-]{0,12}",
            any::<i64>().prop_map(|number| number.to_string()),
            Just("2026-01-01T00:00:00.000Z".to_owned()),
            Just("attached".to_owned()),
            any::<String>().prop_map(|text| quick_xml::escape::escape(text.as_str()).into_owned()),
            any::<String>(),
        ]
    }

    /// The content of an answer: elements of the names, in any order, with any text.
    fn content() -> impl Strategy<Value = String> {
        text().prop_recursive(6, 64, 6, |inner| {
            let element = (proptest::sample::select(&NAMES[..]), inner)
                .prop_map(|(name, inner)| format!("<{name}>{inner}</{name}>"));
            proptest::collection::vec(element, 0..6).prop_map(|elements| elements.concat())
        })
    }

    fn read<A: DeserializeOwned, T>(action: Action, content: &str, into: impl Fn(A) -> Vec<T>) {
        let body = format!("<{0}Response>{content}</{0}Response>", action.name());
        if let Ok(read) = answer::<A>(action, 200, body.as_bytes()) {
            drop(into(read));
        }
        let _ = answer::<A>(action, 400, content.as_bytes());
    }

    /// A snapshot as EC2 writes it, with elements that nobody knows yet between those that are read.
    fn written() -> impl Strategy<Value = (String, String, i64, String)> {
        let parts = (
            "snap-[0-9a-f]{17}",
            1..65_536_i64,
            "[^\\x00-\\x1f\u{7f}\u{fffe}\u{ffff}]{0,12}",
            "pending|completed|error|of-tomorrow",
            0..4_usize,
        );
        parts.prop_map(|(id, size, tag, state, place)| {
            let mut elements = vec![
                format!("<snapshotId>{id}</snapshotId>"),
                format!("<volumeSize>{size}</volumeSize>"),
                format!("<status>{state}</status>"),
                "<volumeId>vol-1</volumeId>".to_owned(),
                format!(
                    "<tagSet><item><key>a</key><value>{}</value></item></tagSet>",
                    quick_xml::escape::escape(tag.as_str())
                ),
            ];
            elements.insert(
                place,
                "<new><item><snapshotId>snap-0</snapshotId></item></new>".to_owned(),
            );
            (
                format!(
                    "<CreateSnapshotResponse>{}</CreateSnapshotResponse>",
                    elements.concat()
                ),
                id,
                size,
                tag,
            )
        })
    }

    proptest! {
        #[test]
        fn answers_of_any_content_are_read_or_unclear(content in content()) {
            use super::super::answers::{InstanceTypes, Modifications, Reservations, VolumeStatuses, Volumes, Zones};
            read(Action::DescribeVolumes, &content, |page: Volumes| page.volume_set.into::<crate::ec2::types::Volume>());
            read(Action::DescribeSnapshots, &content, |page: Snapshots| page.snapshot_set.into::<Snapshot>());
            read(Action::DescribeVolumesModifications, &content, |page: Modifications| page.volume_modification_set.into::<crate::ec2::types::Modification>());
            read(Action::DescribeInstances, &content, |page: Reservations| {
                let all = page.reservation_set.into_vec().into_iter();
                all.flat_map(|one| one.instances_set.into::<crate::ec2::types::Instance>()).collect()
            });
            read(Action::DescribeInstanceTypes, &content, |page: InstanceTypes| page.instance_type_set.into_vec());
            read(Action::DescribeVolumeStatus, &content, |page: VolumeStatuses| page.volume_status_set.into::<(String, crate::ec2::types::Initialization)>());
            read(Action::DescribeAvailabilityZones, &content, |page: Zones| page.availability_zone_info.into_vec());
        }

        #[test]
        fn what_is_new_changes_nothing_and_what_is_cut_is_unclear((body, id, size, tag) in written(), cut in 0.0..1.0_f64) {
            let read = Snapshot::from(answer::<SnapshotElement>(Action::CreateSnapshot, 200, body.as_bytes()).unwrap());
            prop_assert_eq!((&read.id, read.size_gib), (&id, size));
            prop_assert_eq!(read.tags["a"].trim(), tag.trim());
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a short text")]
            let end = (body.len() as f64 * cut) as usize;
            answer::<SnapshotElement>(Action::CreateSnapshot, 200, &body.as_bytes()[..end]).unwrap_err();
        }
    }
}
