//! `--aws-sdk-debug-log`.

use ebs_driver::Config;
use sandbox::ec2::Ec2Options;

use crate::log::Log;
use crate::world::{World, volume};

#[tokio::test(start_paused = true)]
async fn ebs_case_148_bodies_of_requests_and_answers_are_logged_where_asked_for() {
    for logs_bodies in [false, true] {
        let mut config = Config::default();
        config.ec2.logs_bodies = logs_bodies;
        let world = World::with(Ec2Options::instant(), config);
        let log = Log::of(&world.clock);
        world.create_volume(volume("pvc-1", &[])).await.unwrap();
        let lines = log.lines();
        let logged = |text: &str| lines.iter().any(|line| line.contains(text));
        assert_eq!(logged("Action=CreateVolume"), logs_bodies, "{lines:?}");
        assert_eq!(logged("<CreateVolumeResponse"), logs_bodies, "{lines:?}");
        assert!(!logged("Signature="), "{lines:?}");
    }
}
