//! EC2 is slow, and does not answer at all.

use super::{GIB, MANY, Watched, pictures};

/// Longer than an alert must hold, shorter than a call may take.
const SECONDS: u64 = 13;
const ALERTS: [&str; 4] = ["EC2Slow", "WorkerStuck", "QueueBacklog", "EC2Unreachable"];

impl Watched {
    /// Volumes are attached slowly, one after the other; nobody answers who wants to change one.
    pub(super) async fn ec2_is_slow_and_goes_away(&mut self) {
        // So many that the backlog lasts, though Prometheus misses a scrape.
        let slow = [0, 1, 2, 3, 5, 6, 7, 8];
        let errors = self.errors_of_modifications().await;
        self.stage.ec2.slow("AttachVolume", SECONDS, MANY).unwrap();
        self.stage.ec2.cut("ModifyVolume", MANY).unwrap();
        self.attach(&slow).await;
        self.stage.grow(&self.chosen(&[10]), GIB).await;
        self.prometheus.fires(&ALERTS).await;
        self.calls_without_an_answer_are_no_errors_of_ec2(errors).await;
        self.look().await;
        pictures::draw(&self.prometheus, "ebs");
        self.stage.ec2.clear_faults().unwrap();
        self.stage.all_grown(&self.chosen(&[10]), GIB).await;
        self.are_attached(&slow).await;
        self.detach(&slow).await;
        self.all_are_detached().await;
        self.prometheus.is_silent(&ALERTS).await;
    }
}
