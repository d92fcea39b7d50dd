//! The queries of the dashboards.

use serde_json::Value;

use super::prometheus::Prometheus;
use crate::shared::{repository, say};

/// A panel, with its row in front where its title alone is not its own.
struct Panel {
    title: String,
    queries: Vec<String>,
}

/// The panels of a dashboard; variables are as they are chosen at first.
fn panels(file: &str) -> Vec<Panel> {
    let text = std::fs::read_to_string(repository().join("dashboards").join(file)).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let (mut panels, mut row) = (Vec::new(), String::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        let Some(targets) = panel["targets"].as_array() else {
            title.clone_into(&mut row);
            continue;
        };
        let chosen = |target: &Value| {
            let query = target["expr"].as_str().unwrap();
            let query = query.replace("$driver", ".*").replace("$quantile", "0.99");
            query.replace("$__rate_interval", "60s")
        };
        panels.push(Panel {
            title: match title {
                "Time of a call" => format!("{row}: {title}"),
                _ => title.to_owned(),
            },
            queries: targets.iter().map(chosen).collect(),
        });
    }
    panels
}

/// Every query is understood, and every panel has shown something since the beginning.
pub async fn all_show_something(prometheus: &Prometheus) {
    let (mut shown, mut empty) = (0, Vec::new());
    for file in ["suite.json", "ebs.json"] {
        for panel in panels(file) {
            let mut series = 0;
            for query in &panel.queries {
                let answer = prometheus.since_the_start(query).await;
                series += answer
                    .unwrap_or_else(|error| panic!("{}: {query}: {error}", panel.title))
                    .len();
            }
            if series == 0 {
                empty.push(format!("{file}: {}", panel.title));
            }
            shown += 1;
        }
    }
    say(&format!("layer 9 watching: {shown} panels"));
    assert!(empty.is_empty(), "{empty:#?}");
    assert!(shown > 40);
}
