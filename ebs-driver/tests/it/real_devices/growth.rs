//! Expansion of what is in use.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic::Code;

use super::bench;
use crate::world::mount;

/// Each record of the writer.
const RECORD: usize = 4096;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xfs_grows_under_a_writer() {
    let Some(bench) = bench("xfs_grows_under_a_writer") else {
        return;
    };
    let used = bench.use_it(&bench.volume(), mount("xfs")).await;
    let before = bench.total(&used).await;
    let (path, done) = (used.target.join("log"), Arc::new(AtomicBool::new(false)));
    let (log, stop) = (path.clone(), done.clone());
    let writer = std::thread::spawn(move || {
        let mut file = std::fs::File::create(log).unwrap();
        let mut number = 0_u64;
        // It goes on for a while when the volume has grown.
        let mut left = 500;
        while left > 0 && number < 40_000 {
            file.write_all(&record(number)).unwrap();
            number += 1;
            if stop.load(Ordering::Relaxed) {
                left -= 1;
            }
        }
        file.sync_all().unwrap();
        number
    });
    bench.expand_volume(&used, 2).await;
    assert_eq!(
        bench.total(&used).await,
        before,
        "the file system is not grown yet"
    );
    assert_eq!(bench.expand_on(&bench.node, &used).await.unwrap(), 2 << 30);
    done.store(true, Ordering::Relaxed);
    let written = writer.join().unwrap();
    assert!(bench.total(&used).await > before + (900 << 20));
    // Read from the device, not from what the kernel remembers of it.
    bench.unstage(&used).await;
    bench.stage(&used).await.unwrap();
    bench.publish(&used).await.unwrap();
    let data = std::fs::read(&path).unwrap();
    assert_eq!(data.len() as u64, written * RECORD as u64);
    for (number, found) in (0..).zip(data.chunks(RECORD)) {
        assert!(found == record(number), "record {number}");
    }
    bench.give_back(&used).await;
}

fn record(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(RECORD / 8)
}

#[tokio::test]
async fn ext4_grows_mounted_where_that_is_allowed_and_else_when_it_is_staged() {
    let Some(bench) = bench("ext4_grows_mounted_where_that_is_allowed_and_else_when_it_is_staged") else {
        return;
    };
    let used = bench.use_it(&bench.volume(), mount("ext4")).await;
    super::write(&used.target.join("file"), b"data");
    let before = bench.total(&used).await;
    bench.expand_volume(&used, 2).await;
    match bench.expand_on(&bench.node, &used).await {
        Ok(bytes) => {
            eprintln!("ext4 is grown mounted: this process has CAP_SYS_RESOURCE");
            assert_eq!(bytes, 2 << 30);
        }
        Err(status) => {
            eprintln!("ext4 is grown when it is staged: {}", status.message());
            assert_eq!(status.code(), Code::FailedPrecondition);
            assert!(status.message().contains("CAP_SYS_RESOURCE"));
            bench.unstage(&used).await;
            bench.stage(&used).await.unwrap();
            bench.publish(&used).await.unwrap();
        }
    }
    assert!(bench.total(&used).await > before + (900 << 20));
    assert_eq!(std::fs::read(used.target.join("file")).unwrap(), b"data");
    bench.give_back(&used).await;
}
