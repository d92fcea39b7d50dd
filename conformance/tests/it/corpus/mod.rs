//! Comparing the answers of two servers.

pub mod diff;
pub mod listed;

/// Says that a layer was not run, and fails where it must.
pub fn not_run(layer: &str, why: &str) {
    println!("not run: {layer}: {why}");
    assert!(
        std::env::var_os("SLACKWATER_CONFORMANCE").is_none_or(|value| value != "required"),
        "{layer} is required: {why}"
    );
}
