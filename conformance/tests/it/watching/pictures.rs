//! Pictures of the dashboards for `docs/`, drawn from what Prometheus answers.

use std::path::PathBuf;
use std::process::Command;

use super::prometheus::Prometheus;
use crate::shared::{repository, say};

/// Set this variable to any value to draw the pictures anew; `conformance/grafana/setup` installs what draws them.
const UPDATE: &str = "UPDATE_PICTURES";
/// Where that was installed, if elsewhere.
const DRAWING: &str = "SLACKWATER_DRAWING";

/// Draws `dashboards/NAME.json` as `docs/dashboard-NAME.png`, from the start of Prometheus to now.
pub fn draw(prometheus: &Prometheus, name: &str) {
    if std::env::var_os(UPDATE).is_none() {
        return;
    }
    let drawing = std::env::var_os(DRAWING).map(PathBuf::from);
    let python = drawing
        .unwrap_or_else(|| repository().join("target/drawing"))
        .join("bin/python");
    let picture = repository().join(format!("docs/dashboard-{name}.png"));
    let drawn = Command::new(&python)
        .arg(repository().join("dashboards/draw.py"))
        .arg(repository().join(format!("dashboards/{name}.json")))
        .args([
            prometheus.url(),
            &prometheus.began().to_string(),
            &jiff::Timestamp::now().as_second().to_string(),
        ])
        .arg(&picture)
        .status()
        .unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    assert!(drawn.success(), "{} was not drawn", picture.display());
    say(&format!("layer 9 watching: drew {}", picture.display()));
}
