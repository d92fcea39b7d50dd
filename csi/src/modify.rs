//! The `modify.v1` package, by which EBS volumes were changed before there were attributes classes.

/// Messages, clients and servers, generated from `proto/modify.proto`. Maps are ordered.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::too_many_lines,
    unused_qualifications
)]
pub mod v1 {
    tonic::include_proto!("modify.v1");

    impl std::fmt::Debug for ModifyVolumePropertiesRequest {
        /// The context may hold secrets.
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("ModifyVolumePropertiesRequest")
                .field("name", &self.name)
                .field("parameters", &self.parameters)
                .field(
                    "context",
                    &crate::secret::Stripped {
                        empty: self.context.is_empty(),
                    },
                )
                .finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::v1::ModifyVolumePropertiesRequest;

    #[test]
    fn the_context_is_never_shown() {
        let request = ModifyVolumePropertiesRequest {
            name: "vol-1".into(),
            context: [("password".to_owned(), "s3cret".to_owned())].into(),
            ..ModifyVolumePropertiesRequest::default()
        };
        let shown = format!("{request:?}");
        assert!(shown.contains("vol-1") && !shown.contains("s3cret"), "{shown}");
    }
}
