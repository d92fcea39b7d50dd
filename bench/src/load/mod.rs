//! A user with many wishes: claims, snapshots, expansions and deletions, all asked for at once, each
//! followed until it is done.

mod changes;
mod objects;
mod settled;
mod volumes;

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::Scope;
use futures::StreamExt as _;
use futures::stream;
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::changes::{Changes, Seen};
pub use self::objects::{CLAIMS, SNAPSHOTS};

/// How long nothing may become done before the run is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// When a phase ends that is not done.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// With an error, when nothing became done for so long.
    Patience(Duration),
    /// With what is done, so long after its begin.
    Deadline(Duration),
}

/// When the items of a phase were done.
#[derive(Clone, Debug)]
pub struct Timing {
    /// From the first request to the last item done.
    pub wall: Duration,
    /// Of each item that was done, from its request to done.
    pub latencies: Vec<Duration>,
}

/// Who binds claims and volumes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Binder {
    /// A controller of the cluster, at its own pace.
    Cluster,
    /// The user, by hand, so that no controller is needed: volumes that are made for claims are bound once all are there.
    User,
}

/// What a phase is about.
struct Items<'a> {
    /// What they become, for the lines of progress.
    name: &'a str,
    /// Where the objects are that show it.
    path: &'static str,
    count: usize,
    /// The number of the item that an object belongs to.
    index: &'a dyn Fn(&Seen) -> Option<usize>,
}

/// The user.
pub struct Load {
    client: kube::Client,
    scope: Scope,
    /// Requests of the user at the same time.
    concurrency: usize,
    /// Whether volumes are raw devices: their expansion ends without a node.
    block: bool,
    limit: Limit,
}

impl Load {
    /// A user with this client.
    pub fn new(client: kube::Client, scope: &Scope, concurrency: usize, block: bool) -> Self {
        Self {
            client,
            scope: scope.child(),
            concurrency,
            block,
            limit: Limit::Patience(PATIENCE),
        }
    }

    /// The same, whose phases end so long after their begin, with what is done by then.
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self {
            limit: Limit::Deadline(deadline),
            ..self
        }
    }

    /// The storage class and the snapshot class.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn classes(&self) -> anyhow::Result<()> {
        for (path, class) in objects::classes() {
            self.send(Method::POST, path, &class).await?;
        }
        Ok(())
    }

    /// A claim for each EC2 volume of 1 GiB, bound.
    ///
    /// # Errors
    /// What the API server refuses, or nothing happening for two minutes.
    pub async fn claims(&self, volumes: &[String], binder: Binder) -> anyhow::Result<Timing> {
        let create = |index: usize| async move {
            let (volume, claim) = objects::pair(index, &volumes[index], self.block);
            match binder {
                Binder::Cluster => {
                    self.send(Method::POST, objects::VOLUMES, &volume).await?;
                    self.send(Method::POST, CLAIMS, &claim).await.map(drop)
                }
                Binder::User => self.bind(volume, claim).await,
            }
        };
        self.drive("claims bound", CLAIMS, volumes.len(), create, |seen| {
            seen.status("/phase") == "Bound"
        })
        .await
    }

    /// A snapshot of each of the first `count` claims, until it is ready.
    ///
    /// # Errors
    /// As above.
    pub async fn snapshots(&self, count: usize) -> anyhow::Result<Timing> {
        let create = |index| async move {
            self.send(Method::POST, SNAPSHOTS, &objects::snapshot(index))
                .await
                .map(drop)
        };
        self.drive("snapshots ready", SNAPSHOTS, count, create, |seen| {
            seen.object.status.pointer("/readyToUse") == Some(&Value::Bool(true))
        })
        .await
    }

    /// Each of the first `count` claims grows from 1 to 2 GiB, until the controller's part is done: the
    /// volume has grown and, unless it is a raw device, a node's turn is come.
    ///
    /// # Errors
    /// As above.
    pub async fn expansions(&self, count: usize) -> anyhow::Result<Timing> {
        let wish = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
        let wish = &wish;
        let grow = |index| async move {
            let path = format!("{CLAIMS}/{}", objects::claim_name(index));
            self.send(Method::PATCH, &path, wish).await.map(drop)
        };
        self.drive("claims expanded", CLAIMS, count, grow, |seen| {
            seen.has_condition("FileSystemResizePending") || seen.status("/capacity/storage") == "2Gi"
        })
        .await
    }

    /// The snapshots go again, until they are gone with all that they were bound to.
    ///
    /// # Errors
    /// As above.
    pub async fn deletions(&self, count: usize) -> anyhow::Result<Timing> {
        let delete = |index| async move {
            let path = format!("{SNAPSHOTS}/{}", objects::snapshot_name(index));
            self.send(Method::DELETE, &path, &Value::Null).await.map(drop)
        };
        self.drive("snapshots gone", SNAPSHOTS, count, delete, |seen| seen.gone)
            .await
    }

    /// Objects that none of the controllers cares for: `count` pods and as many claims of another class,
    /// bound to volumes of another driver.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn strangers(&self, count: usize) -> anyhow::Result<()> {
        let mut done = 0;
        let mut told = Instant::now();
        let mut creations = stream::iter(0..count)
            .map(|index| async move {
                for (path, object) in objects::strangers(index) {
                    self.send(Method::POST, path, &object).await?;
                }
                anyhow::Ok(())
            })
            .buffer_unordered(self.concurrency);
        while let Some(created) = creations.next().await {
            created?;
            done += 1;
            if told.elapsed() > Duration::from_secs(5) || done == count {
                tell(&format!("unrelated objects: {done} of {count}"))?;
                told = Instant::now();
            }
        }
        Ok(())
    }

    /// Asks for `count` items and follows the objects at `path` until `is_done` holds for each.
    async fn drive<F>(
        &self,
        name: &str,
        path: &'static str,
        count: usize,
        act: impl Fn(usize) -> F,
        is_done: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<Timing>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let items = Items {
            name,
            path,
            count,
            index: &Seen::index,
        };
        self.drive_items(&items, act, is_done).await
    }

    /// The same, with objects whose names do not tell their number.
    async fn drive_items<F>(
        &self,
        items: &Items<'_>,
        act: impl Fn(usize) -> F,
        is_done: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<Timing>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let Items {
            name, path, count, ..
        } = *items;
        let mut changes = Changes::follow(&self.client, path, &self.scope).await?;
        let begun = Instant::now();
        let mut asked: Vec<Option<Instant>> = vec![None; count];
        let mut done: Vec<Option<Instant>> = vec![None; count];
        let act = &act;
        let mut acts = stream::iter(0..count)
            .map(|index| async move {
                let at = Instant::now();
                act(index).await.map(|()| (index, at))
            })
            .buffer_unordered(self.concurrency);
        let mut left = count;
        let mut telling = Telling::new(name, count, self.limit);
        while (left > 0 || asked.iter().any(Option::is_none)) && !telling.is_over() {
            tokio::select! {
                biased;
                seen = changes.next() => {
                    let seen = seen?;
                    let place = (items.index)(&seen).and_then(|index| done.get_mut(index));
                    if let Some(place @ None) = place && is_done(&seen) {
                        *place = Some(Instant::now());
                        left -= 1;
                    }
                }
                Some(acted) = acts.next() => {
                    let (index, at) = acted?;
                    asked[index] = Some(at);
                }
                () = telling.due() => {}
            }
            telling.tell(count - left)?;
        }
        Ok(timing(begun, &asked, &done))
    }

    /// Creates a pair as the volume controller would leave it.
    async fn bind(&self, mut volume: Value, claim: Value) -> anyhow::Result<()> {
        let created = self.send(Method::POST, CLAIMS, &claim).await?;
        let created: Value = serde_json::from_str(&created)?;
        volume["spec"]["claimRef"]["uid"] = created["metadata"]["uid"].clone();
        self.send(Method::POST, objects::VOLUMES, &volume).await?;
        self.tell_bound(&volume).await
    }

    /// Writes the status of a volume and its claim.
    async fn tell_bound(&self, volume: &Value) -> anyhow::Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&volume["metadata"]["name"]);
        let path = format!("{}/{name}/status", objects::VOLUMES);
        let bound = json!({"status": {"phase": "Bound"}});
        self.send(Method::PATCH, &path, &bound).await?;
        let path = format!("{CLAIMS}/{}/status", text(&volume["spec"]["claimRef"]["name"]));
        let bound = json!({"status": {
            "phase": "Bound",
            "accessModes": volume["spec"]["accessModes"],
            "capacity": volume["spec"]["capacity"],
        }});
        self.send(Method::PATCH, &path, &bound).await.map(drop)
    }

    /// One request; its answer.
    async fn send(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<String> {
        let content = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let bytes = match body {
            Value::Null => Vec::new(),
            body => serde_json::to_vec(body)?,
        };
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, content)
            .body(bytes)?;
        let answer = self.client.request_text(request).await;
        answer.with_context(|| format!("{method} {path}"))
    }
}

fn timing(begun: Instant, asked: &[Option<Instant>], done: &[Option<Instant>]) -> Timing {
    let latencies = asked.iter().zip(done).filter_map(|(asked, done)| {
        let (asked, done) = ((*asked)?, (*done)?);
        Some(done.saturating_duration_since(asked))
    });
    let last = done.iter().flatten().max().copied().unwrap_or(begun);
    Timing {
        wall: last - begun,
        latencies: latencies.collect(),
    }
}

/// Progress lines of one phase, and its patience.
struct Telling {
    name: String,
    count: usize,
    begun: Instant,
    told: Instant,
    moved: Instant,
    seen: usize,
    limit: Limit,
}

impl Telling {
    fn new(name: &str, count: usize, limit: Limit) -> Self {
        let now = Instant::now();
        Self {
            name: name.to_owned(),
            count,
            begun: now,
            told: now,
            moved: now,
            seen: 0,
            limit,
        }
    }

    /// Whether the phase ends undone.
    fn is_over(&self) -> bool {
        matches!(self.limit, Limit::Deadline(deadline) if self.begun.elapsed() >= deadline)
    }

    /// When the next line is due.
    async fn due(&self) {
        tokio::time::sleep_until(self.told + Duration::from_secs(2)).await;
    }

    fn tell(&mut self, done: usize) -> anyhow::Result<()> {
        let now = Instant::now();
        let moved = done != self.seen;
        if moved {
            (self.seen, self.moved) = (done, now);
        }
        if let Limit::Patience(patience) = self.limit
            && now - self.moved > patience
        {
            bail!(
                "{}: {done} of {}, and no more for {} s",
                self.name,
                self.count,
                patience.as_secs()
            );
        }
        if now - self.told >= Duration::from_secs(2) || (moved && done == self.count) {
            self.told = now;
            let seconds = (now - self.begun).as_secs_f64();
            tell(&format!(
                "{}: {done} of {} after {seconds:.1} s",
                self.name, self.count
            ))?;
        }
        Ok(())
    }
}

/// A line of progress.
///
/// # Errors
/// When standard error is gone.
pub fn tell(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr(), "{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    /// Nobody takes snapshots here.
    #[tokio::test(start_paused = true)]
    async fn a_phase_with_a_deadline_ends_with_what_is_done() {
        let world = World::new().unwrap();
        let client = kube::Client::new(world.api.service("person"), "default");
        let load = Load::new(client, &world.scope, 4, true);
        let volumes = world.volumes(3).unwrap();
        load.claims(&volumes, Binder::User).await.unwrap();
        let begun = Instant::now();
        let error = load.snapshots(3).await.unwrap_err();
        assert!(
            error.to_string().contains("0 of 3, and no more for 120 s"),
            "{error}"
        );
        assert!(begun.elapsed() < Duration::from_secs(130));
        let deletions = load.deletions(3).await.unwrap();
        assert_eq!(deletions.latencies.len(), 3, "nothing holds them");

        let load = load.with_deadline(Duration::from_secs(600));
        let begun = Instant::now();
        let snapshots = load.snapshots(3).await.unwrap();
        assert_eq!((snapshots.latencies.len(), snapshots.wall), (0, Duration::ZERO));
        assert!((600..610).contains(&begun.elapsed().as_secs()));
    }
}
