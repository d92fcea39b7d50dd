//! Never two leaders, whatever the network does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::{Random, Scope};
use runtime::leader::Ended;

use super::{Leaders, elector};
use crate::store::{Fault, Store};

/// Every request may be late, refused, or done with its answer lost.
fn unreliable(store: &Store, random: Random) {
    store.faults(move |_| {
        let late = |chance: f64| {
            if random.chance(chance) {
                Duration::from_millis(random.below(20_000))
            } else {
                Duration::from_millis(random.below(50))
            }
        };
        Fault {
            before: late(0.15),
            after: late(0.1),
            refuse: random.chance(0.1).then_some(500),
            lose: random.chance(0.1),
        }
    });
}

/// One replica for ever: competes, leads for a random time or until it loses, crashes, stops or steps down.
async fn replica(store: Store, name: String, random: Random, leaders: Leaders, terms: Arc<AtomicUsize>) {
    let skew = i64::try_from(random.below(7_200)).unwrap() - 3_600;
    loop {
        let scope = Scope::new();
        let elector = elector(&store, &name, random.next_u64(), skew);
        let lead = |child: Scope| {
            let (leaders, terms, random) = (leaders.clone(), terms.clone(), random.clone());
            async move {
                terms.fetch_add(1, Ordering::SeqCst);
                let _leading = leaders.enter();
                child.stopping().await;
                tokio::time::sleep(Duration::from_millis(random.below(8_000))).await;
            }
        };
        let away = tokio::time::sleep(Duration::from_secs(random.below(120)));
        let crash = random.chance(0.3);
        let stop = random.chance(0.5);
        let life = Duration::from_secs(20 + random.below(100));
        let run = elector.run_leading(&scope, lead, away);
        let end = async {
            tokio::time::sleep(life).await;
            if stop {
                scope.stop();
            }
            if !crash {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            ended = run => assert_ne!(ended, Ended::Finished(())),
            () = end => {}
        }
        tokio::time::sleep(Duration::from_millis(random.below(3_000))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_92_never_two_leaders_under_delays_losses_and_crashes() {
    let mut all_terms = 0;
    for seed in 0..60 {
        let random = Random::seeded(seed);
        let store = Store::default();
        unreliable(&store, random.fork());
        let (leaders, terms) = (Leaders::default(), Arc::new(AtomicUsize::new(0)));
        let replicas = (0..3).map(|number| {
            let (store, random) = (store.clone(), random.fork());
            replica(
                store,
                format!("pod-{number}"),
                random,
                leaders.clone(),
                terms.clone(),
            )
        });
        let _ = tokio::time::timeout(Duration::from_secs(900), futures::future::join_all(replicas)).await;
        let terms = terms.load(Ordering::SeqCst);
        assert!(terms > 0, "seed {seed}: nobody ever led");
        all_terms += terms;
    }
    assert!(all_terms > 400, "too few terms to mean something: {all_terms}");
}
