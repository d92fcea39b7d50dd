//! Names of leases and holders.

/// Replaces every character outside `[a-zA-Z0-9-]` by `-` and appends `X` to a trailing `-`, as upstream
/// does for lease names and identities: `ebs.csi.aws.com` gives `ebs-csi-aws-com`. Source: sidecars 1.4.
#[must_use]
pub fn clean_name(name: &str) -> String {
    let mut clean: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    if clean.ends_with('-') {
        clean.push('X');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecars_case_8_and_9_names_are_cleaned() {
        for (name, clean) in [
            ("ebs.csi.aws.com", "ebs-csi-aws-com"),
            (
                "external-attacher-leader-ebs.csi.aws.com",
                "external-attacher-leader-ebs-csi-aws-com",
            ),
            ("external-attacher-leader-x.y.", "external-attacher-leader-x-y-X"),
            ("pod.1", "pod-1"),
            ("a/b", "a-b"),
            ("é", "-X"),
            ("", ""),
        ] {
            assert_eq!(clean_name(name), clean);
        }
    }
}
