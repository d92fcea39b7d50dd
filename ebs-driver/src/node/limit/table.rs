//! The attachment limits of instance types where EC2 may not be asked: `EbsInfo.MaximumEbsAttachments` and
//! `AttachmentLimitType` of its DescribeInstanceTypes, as of August 2026 (upstream's table of that time, its corrections
//! included). What a type has of its own, instance store volumes and accelerators, EC2 has taken off already where
//! attachments are shared.

use super::Kind;

/// Shared attachments of a type that no row names.
const USUAL: u32 = 27;
/// Volumes of instances that run on Xen.
const XEN: u32 = 39;

/// Families of the generations that run on Xen, with the exception of their metal sizes.
const XEN_FAMILIES: &str =
    "c1 c3 c4 cc2 cr1 d2 f1 g2 g3 g3s h1 hs1 i2 i3 m1 m2 m3 m4 p2 p3 r3 r4 t1 t2 x1 x1e";

/// Families with a limit for volumes alone.
const DEDICATED: &str = "c7a c7i c7i-flex c8a c8g c8gb c8gd c8gn c8i c8i-flex c8ib c8id c8in c8ine c9g c9gd f2 g6 g6e g6f g7 g7e \
    gr6 gr6f hpc7a hpc8a i7i i7ie i8g i8ge m7a m7i m7i-flex m8a m8azn m8g m8gb m8gd m8gn m8i m8i-flex m8ib m8id m8idb m8idn m8in \
    m8ine m9g m9gd p4d p4de p5 p5e p5en p6-b200 p6-b300 r7a r7i r7iz r8a r8g r8gb r8gd r8gn r8i r8i-flex r8ib r8id r8idb r8idn \
    r8in trn2 trn2u u7i-12tb u7i-6tb u7i-8tb u7in-16tb u7in-24tb u7in-32tb u7inh-32tb x8aedz x8g x8i";

/// Sizes of these families whose limit is not that of their size: families, sizes, limit.
const DEDICATED_OTHERWISE: [(&str, &str, u32); 9] = [
    ("hpc7a hpc8a", "12xlarge 24xlarge 48xlarge 96xlarge", 27),
    ("p4d p4de", "24xlarge", 28),
    ("p5 p5e p5en p6-b200 p6-b300 trn2 trn2u", "48xlarge", 64),
    ("m8azn x8aedz", "12xlarge metal-12xl", 64),
    ("m8azn x8aedz", "24xlarge", 128),
    ("m8azn x8aedz", "metal-24xl", 79),
    ("c8a m8a r8a", "metal-24xl", 64),
    ("c8gb c8gn m8gb m8gn r8gb r8gn", "metal-48xl", 78),
    (
        "c8ib c8in m8ib m8idb m8idn m8in r8ib r8idb r8idn r8in",
        "metal-96xl",
        78,
    ),
];

/// Families on Intel's machines of the eighth generation, whose halves are `metal-48xl`.
const HALF_METAL: &str =
    "c8i c8ib c8id c8in m8i m8ib m8id m8idb m8idn m8in r8i r8ib r8id r8idb r8idn r8in x8i";

/// Limits that are shared and not the usual one: families, and their sizes by limit.
const SHARED: &[(&str, &[(u32, &str)])] = &[
    (
        "a1 c5 c5d c5n c6a c6g c6gd c6i c6id c6in c7g c7gd c7gn g4dn g5g i3en i4i m5 m5d m5dn m5n m5zn m6a m6g m6gd m6i m6id m6idn \
         m6in m7g m7gd mac-m4 mac-m4pro r5 r5b r5d r5dn r5n r6a r6g r6gd r6i r6id r6idn r6in r7g r7gd x2gd x2idn x2iedn x2iezn z1d",
        &[(31, "metal")],
    ),
    ("mac1", &[(16, "metal")]),
    (
        "mac-m3ultra mac-m4max mac2 mac2-m1ultra mac2-m2 mac2-m2pro",
        &[(10, "metal")],
    ),
    (
        "c5ad",
        &[
            (26, "large xlarge 2xlarge"),
            (25, "4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"),
        ],
    ),
    (
        "c5d",
        &[
            (26, "large xlarge 2xlarge 4xlarge 9xlarge"),
            (25, "12xlarge 18xlarge"),
            (23, "24xlarge"),
        ],
    ),
    (
        "c6gd c7gd m6gd m7gd r6gd r7gd x2gd",
        &[
            (26, "medium large xlarge 2xlarge 4xlarge 8xlarge"),
            (25, "12xlarge 16xlarge"),
        ],
    ),
    (
        "c6id m6id m6idn r6id r6idn",
        &[
            (26, "large xlarge 2xlarge 4xlarge 8xlarge"),
            (25, "12xlarge 16xlarge"),
            (23, "24xlarge 32xlarge"),
        ],
    ),
    (
        "m5ad m5d m5dn r5ad r5d r5dn",
        &[
            (26, "large xlarge 2xlarge"),
            (25, "4xlarge 8xlarge 12xlarge"),
            (23, "16xlarge 24xlarge"),
        ],
    ),
    (
        "z1d",
        &[(26, "large xlarge 2xlarge 3xlarge 6xlarge"), (25, "12xlarge")],
    ),
    (
        "d3",
        &[(24, "xlarge"), (21, "2xlarge"), (15, "4xlarge"), (3, "8xlarge")],
    ),
    (
        "d3en",
        &[
            (25, "xlarge"),
            (23, "2xlarge"),
            (19, "4xlarge"),
            (15, "6xlarge"),
            (11, "8xlarge"),
            (3, "12xlarge"),
        ],
    ),
    ("dl2q", &[(19, "24xlarge")]),
    (
        "g4ad",
        &[(25, "xlarge 2xlarge 4xlarge"), (24, "8xlarge"), (21, "16xlarge")],
    ),
    (
        "g4dn",
        &[(25, "xlarge 2xlarge 4xlarge 8xlarge 16xlarge"), (22, "12xlarge")],
    ),
    (
        "g5",
        &[
            (25, "xlarge 2xlarge 4xlarge 8xlarge 16xlarge"),
            (22, "12xlarge 24xlarge"),
            (9, "48xlarge"),
        ],
    ),
    ("g5g", &[(26, "xlarge 2xlarge 4xlarge 8xlarge"), (25, "16xlarge")]),
    ("hpc6id", &[(23, "32xlarge")]),
    (
        "i3en",
        &[
            (26, "large xlarge 3xlarge"),
            (25, "2xlarge 6xlarge"),
            (23, "12xlarge"),
            (19, "24xlarge"),
        ],
    ),
    (
        "i4g im4gn",
        &[
            (26, "large xlarge 2xlarge 4xlarge"),
            (25, "8xlarge"),
            (23, "16xlarge"),
        ],
    ),
    (
        "i4i",
        &[
            (26, "large xlarge 2xlarge 4xlarge"),
            (25, "8xlarge"),
            (24, "12xlarge"),
            (23, "16xlarge"),
            (21, "24xlarge"),
            (19, "32xlarge"),
        ],
    ),
    (
        "inf1",
        &[(26, "xlarge 2xlarge"), (23, "6xlarge"), (11, "24xlarge")],
    ),
    ("inf2", &[(28, "24xlarge 48xlarge"), (26, "xlarge 8xlarge")]),
    (
        "is4gen",
        &[
            (26, "medium large xlarge 2xlarge"),
            (25, "4xlarge"),
            (23, "8xlarge"),
        ],
    ),
    ("p3dn", &[(17, "24xlarge")]),
    ("trn1 trn1n", &[(28, "32xlarge"), (25, "2xlarge")]),
    ("vt1", &[(25, "3xlarge"), (23, "6xlarge")]),
    ("x2idn", &[(26, "16xlarge"), (25, "24xlarge 32xlarge")]),
    (
        "x2iedn",
        &[
            (26, "xlarge 2xlarge 4xlarge 8xlarge 16xlarge"),
            (25, "24xlarge 32xlarge"),
        ],
    ),
];

fn has(list: &str, name: &str) -> bool {
    list.split(' ').any(|entry| entry == name)
}

/// The limit of a size, where it is for volumes alone.
fn by_size(size: &str) -> u32 {
    match size {
        "16xlarge" | "18xlarge" => 48,
        "24xlarge" => 64,
        "32xlarge" => 88,
        "48xlarge" | "64xlarge" | "96xlarge" | "112xlarge" | "224xlarge" => 128,
        "metal-16xl" | "metal-24xl" => 39,
        "metal-32xl" | "metal-48xl" | "metal-96xl" => 79,
        _ => 32,
    }
}

/// Whether the instances of a family run on Xen. EC2 says of them that they share their 40 attachments, which they do not.
pub(super) fn is_xen(family: &str, size: &str) -> bool {
    has(XEN_FAMILIES, family) && !size.starts_with("metal")
}

/// The limit of a type.
pub(super) fn limit(instance_type: &str) -> Kind {
    let (family, size) = instance_type.split_once('.').unwrap_or((instance_type, ""));
    if is_xen(family, size) {
        return Kind::Dedicated(XEN);
    }
    if has(DEDICATED, family) {
        let mut rows = DEDICATED_OTHERWISE.iter();
        let other = rows.find(|(families, sizes, _)| has(families, family) && has(sizes, size));
        let is_half = size == "metal-48xl" && has(HALF_METAL, family);
        return Kind::Dedicated(match other {
            Some((_, _, limit)) => *limit,
            None if is_half => 64,
            None => by_size(size),
        });
    }
    let of_family = SHARED.iter().filter(|(families, _)| has(families, family));
    let mut limits = of_family.flat_map(|(_, limits)| limits.iter());
    let limit = limits.find(|(_, sizes)| has(sizes, size));
    Kind::Shared(limit.map_or(USUAL, |(limit, _)| *limit))
}
