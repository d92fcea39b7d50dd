//! `slackwater quickstart`: the whole on a sandbox, with nothing but this program.

mod examples;
mod follow;
mod live;
mod person;
mod report;
mod screen;
mod stage;
mod story;

use std::time::Duration;

use anyhow::Context as _;
use base::Scope;
use base::process::Signals;
use sandbox::ec2::Ec2Options;

pub use self::stage::node_service;

use self::person::Person;
use self::screen::Screen;
use self::stage::Stage;
use self::story::{PERSON, Story};
use crate::controller::Function;

/// The command line of `slackwater quickstart`.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "quickstart",
    disable_version_flag = true,
    about = "Shows all of it on a sandbox"
)]
pub struct Args {
    /// Keep serving after the story: prints the kubeconfig and the address of the metrics, and at the beginning that of a page that
    /// shows it live. End it with Ctrl-C
    #[arg(long)]
    pub stay: bool,

    /// How fast EC2 works and what it lets through: aws has the request limits and quotas of an account
    #[arg(long, default_value = "quick", value_parser = Ec2Options::PRESETS)]
    pub ec2: String,
}

/// Why the quick start failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An example cannot be read.
    #[error(transparent)]
    Example(#[from] examples::Error),
    /// The API refused something, or it took too long.
    #[error(transparent)]
    Person(#[from] person::Error),
    /// The output is gone.
    #[error("cannot print: {0}")]
    Output(#[from] std::io::Error),
    /// What lies on a volume cannot be read or written.
    #[error(transparent)]
    Data(#[from] ::node::HostError),
    /// A volume holds something else than it should.
    #[error("{pod} should have read: {expected}")]
    OtherData {
        /// The pod that read it.
        pod: &'static str,
        /// The lines.
        expected: String,
    },
    /// Something is otherwise than the story is about to say.
    #[error("{what} should be {expected:?}, and is {found:?}")]
    Otherwise {
        /// What.
        what: String,
        /// As it should be.
        expected: String,
        /// As it is.
        found: String,
    },
    /// All was deleted, and something stays.
    #[error("of what the story has made {0} things are left, see the table")]
    Left(usize),
}

/// Plays the story.
///
/// # Errors
/// When something does not come about in time.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let mut ended = std::pin::pin!(first_of(Signals::install()?));
    let mut screen = Screen::stdout();
    screen.plain(
        "Slackwater quick start: a Kubernetes API and an EC2 in this process, no cluster, no AWS account.",
    )?;
    let options = Ec2Options::preset(&args.ec2).context("no such preset of EC2")?;
    let stage = Stage::new(options).await?;
    screen.line(&format!(
        "{} run, {} definitions are installed",
        Function::ALL.map(Function::name).join(", "),
        crds::definitions::KINDS.len()
    ))?;
    let scope = stage.scope.clone();
    if args.stay {
        let page = live::serve(&stage.api, &stage.ec2, &scope).await?;
        screen.line(&format!("see it live in a browser: http://{page}/"))?;
    }
    let played = async {
        let mut story = Story {
            screen: &mut screen,
            person: Person::new(kube::Client::new(stage.api.service(PERSON), "default")),
            api: &stage.api,
            ec2: &stage.ec2,
            machine: stage.machine(),
        };
        story.tell().await
    };
    tokio::select! {
        biased;
        panicked = scope.failed() => anyhow::bail!(panicked),
        () = &mut ended => anyhow::bail!("ended before the story was; nothing of the sandbox is left"),
        told = played => told?,
        failed = stage.failed() => anyhow::bail!("the controllers ended: {failed}"),
        () = tokio::time::sleep(Duration::from_secs(150)) => anyhow::bail!("the story took too long"),
    }
    if args.stay {
        let (text, _folder) = stage.open().await?;
        screen.plain(&text)?;
        tokio::select! {
            biased;
            panicked = scope.failed() => anyhow::bail!(panicked),
            () = ended => {}
        }
    }
    Ok(())
}

/// Waits for a signal. The first is enough: nothing here has to be drained.
async fn first_of(signals: Signals) {
    let told = Scope::new();
    tokio::select! {
        biased;
        () = told.stopping() => {}
        () = signals.relay(&told) => {}
    }
}
