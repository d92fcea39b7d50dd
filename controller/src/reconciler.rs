//! The loop around [`Controller`]: the same for every controller.

use std::time::Duration;

use async_trait::async_trait;
use base::{Backoff, Clock, Outcome, Random, Reconcile};
use runtime::{ApiError, ApiErrorClass, EventType, ObjectKey, Recorder};
use tracing::Instrument as _;

use crate::controller::{Controller, Failure, Outdated, Run};
use crate::failures::Failures;
use crate::memory::{Memories, Past};
use crate::plan::{Action, Event, Next, Plan, Trouble};
use crate::secret::SecretReader;

/// Rounds of one run; the longest path needs six. More would be a rule that never settles.
const MOST_ROUNDS: usize = 12;
/// Conflicts in a row that are planned anew at once (decision 17).
const PATIENT_CONFLICTS: u32 = 2;
/// The longest wait that the API server may ask for: something on the way may ask for days.
const LONGEST_ASKED: Duration = Duration::from_secs(300);
const ASKED_JITTER: f64 = 0.5;
/// Failures in a row that say nothing definite, after which the user is told all the same.
const TOLD_AFTER: u32 = 5;

/// Runs a [`Controller`] on the keys of a work queue.
pub struct Reconciler<C: Controller> {
    controller: C,
    recorder: Recorder,
    secrets: SecretReader,
    failures: Failures,
    clock: Clock,
    random: Random,
    backoff: Backoff,
    memories: Memories<C::Memory>,
}

/// How a round went on.
enum Round {
    Again,
    End(Outcome),
}

/// An object in one run.
struct Subject<'a, C: Controller> {
    key: &'a ObjectKey,
    uid: &'a str,
    seen: &'a C::Seen,
}

impl<C: Controller> Reconciler<C> {
    pub(crate) fn new(
        controller: C,
        recorder: Recorder,
        secrets: SecretReader,
        failures: Failures,
        clock: Clock,
        random: Random,
        backoff: Backoff,
    ) -> Self {
        Self {
            controller,
            recorder,
            secrets,
            failures,
            clock,
            random,
            backoff,
            memories: Memories::new(),
        }
    }

    async fn rounds(&self, key: &ObjectKey) -> Outcome {
        let mut run = Run::default();
        let mut known = None;
        for _ in 0..MOST_ROUNDS {
            let Some(seen) = self.controller.observe(key) else {
                self.memories.forget(key);
                return Outcome::Done;
            };
            let uid = self.controller.uid(&seen).to_owned();
            if known.as_ref().is_some_and(|known| *known != uid) {
                // Answers for a deleted object say nothing of its successor.
                run = Run::default();
            }
            let subject = Subject {
                key,
                uid: &uid,
                seen: &seen,
            };
            match self.round(&subject, &mut run).await {
                Round::Again => {}
                Round::End(outcome) => return outcome,
            }
            known = Some(uid);
        }
        let past = self.memories.of(key, known.as_deref().unwrap_or_default());
        self.back_off(
            key,
            known.as_deref().unwrap_or_default(),
            past,
            &Trouble::new("it does not settle"),
            Duration::ZERO,
        )
    }

    async fn round(&self, subject: &Subject<'_, C>, run: &mut Run<C::Answer>) -> Round {
        let mut past = self.memories.of(subject.key, subject.uid);
        let plan = self.controller.plan(subject.seen, &past, run, self.clock.now());
        if let Some(memory) = &plan.at_once {
            past.memory = memory.clone();
            self.memories.remember(subject.key, subject.uid, past.clone());
        }
        let is_counted = run
            .answers
            .iter()
            .any(|answer| self.controller.failed_call(answer).is_some());
        match self.act(subject, &plan, run).await {
            Ok(()) => {
                if matches!(plan.next, Next::Backoff(_)) && !is_counted {
                    self.failures.refusal(reason(&plan), self.driver(subject));
                }
                self.conclude(subject, past, plan)
            }
            Err((action, failure)) => {
                if let (Next::Backoff(trouble), Failure::Refused(_)) = (&plan.next, &failure)
                    && !trouble.of.is_empty()
                {
                    // What the plan was to tell of has failed too.
                    self.count(&mut past, trouble, Duration::ZERO);
                }
                self.failed(subject, past, action, failure).await
            }
        }
    }

    /// Takes the actions in order, up to the first that fails; warnings behind it are told all the same.
    async fn act<'p>(
        &self,
        subject: &Subject<'_, C>,
        plan: &'p Plan<C::Step, C::Memory>,
        run: &mut Run<C::Answer>,
    ) -> Result<(), (&'p Action<C::Step>, Failure)> {
        let mut failed = None;
        let mut brought = false;
        for action in &plan.actions {
            if let Action::Event(event) = action {
                if failed.is_none() || event.kind == EventType::Warning {
                    self.tell(subject, event);
                }
                continue;
            }
            if failed.is_some() {
                continue;
            }
            match self.take(subject, action, run).await {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    if let Some((operation, failure)) = self.controller.failed_call(&answer) {
                        self.failures.call(operation, self.driver(subject), failure);
                    }
                    if !brought {
                        run.answers.clear();
                    }
                    brought = true;
                    run.answers.push(answer);
                }
                Err(failure) => failed = Some((action, failure)),
            }
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        if !brought {
            // What they led to is written.
            run.answers.clear();
        }
        Ok(())
    }

    async fn take(
        &self,
        subject: &Subject<'_, C>,
        action: &Action<C::Step>,
        run: &mut Run<C::Answer>,
    ) -> Result<Option<C::Answer>, Failure> {
        match action {
            Action::Step(step) => self.controller.take(subject.seen, step, run).await,
            Action::ReadSecret(secret) => {
                run.secret = Some(self.secrets.read(secret).await.map_err(Failure::Refused)?);
                Ok(None)
            }
            Action::Event(_) => Ok(None),
        }
    }

    fn conclude(
        &self,
        subject: &Subject<'_, C>,
        mut past: Past<C::Memory>,
        plan: Plan<C::Step, C::Memory>,
    ) -> Round {
        if plan.steps().next().is_some() {
            past.retries.wrote();
        }
        past.memory = plan.memory;
        let outcome = match plan.next {
            Next::Again => None,
            Next::Await => {
                past.retries.succeeded();
                Some(Outcome::Done)
            }
            Next::After(wait) => {
                past.retries.succeeded();
                Some(Outcome::After(wait))
            }
            Next::Held(until) => {
                let wait = until.duration_since(self.clock.now());
                Some(Outcome::After(wait.try_into().unwrap_or_default()))
            }
            Next::Backoff(trouble) => {
                let Subject { key, uid, .. } = subject;
                return Round::End(self.back_off(key, uid, past, &trouble, Duration::ZERO));
            }
        };
        self.memories.remember(subject.key, subject.uid, past);
        outcome.map_or(Round::Again, Round::End)
    }

    /// One policy for lost races (decision 17) and one for refusals. Both carry the API server's words.
    async fn failed(
        &self,
        subject: &Subject<'_, C>,
        past: Past<C::Memory>,
        action: &Action<C::Step>,
        failure: Failure,
    ) -> Round {
        match failure {
            Failure::Outdated(outdated) => self.outdated(subject, past, action, outdated).await,
            Failure::Refused(error) => self.refused(subject, past, action, &error),
        }
    }

    /// The first two in a row are planned anew at once, from the present state; further ones back off.
    async fn outdated(
        &self,
        subject: &Subject<'_, C>,
        mut past: Past<C::Memory>,
        action: &Action<C::Step>,
        outdated: Outdated,
    ) -> Round {
        let Subject { key, uid, .. } = *subject;
        let error = outdated.error;
        let conflicts = past.retries.conflicted();
        if conflicts > PATIENT_CONFLICTS {
            self.lost(subject, action, &error);
            let trouble = Trouble::new(error.to_string());
            return Round::End(self.back_off(key, uid, past, &trouble, Duration::ZERO));
        }
        self.memories.remember(key, uid, past.clone());
        tracing::debug!(%key, conflicts, %error, "another writer was faster");
        match outdated.catch_up.await {
            // A failed test is answered as an invalid object is. Where nothing has changed it was no lost race.
            Ok(false) if error.code() == 422 => self.refused(subject, past, action, &error.as_invalid()),
            Ok(_) => {
                self.lost(subject, action, &error);
                Round::Again
            }
            Err(error) => self.refused(subject, past, action, &error),
        }
    }

    /// Counts a race that was lost, if something was sent.
    fn lost(&self, subject: &Subject<'_, C>, action: &Action<C::Step>, error: &ApiError) {
        if error.code() != 0 {
            self.failures
                .request(self.reason(action), self.driver(subject), error);
        }
    }

    /// Counts a refusal, tells of it, and backs off.
    fn refused(
        &self,
        subject: &Subject<'_, C>,
        past: Past<C::Memory>,
        action: &Action<C::Step>,
        error: &ApiError,
    ) -> Round {
        self.failures
            .request(self.reason(action), self.driver(subject), error);
        if is_told(error, past.retries.unnamed().saturating_add(1)) {
            self.tell(subject, &Event::warning(self.reason(action), error.to_string()));
        }
        let asked = error.retry_after().unwrap_or_default().min(LONGEST_ASKED);
        let trouble = Trouble::new(error.to_string());
        Round::End(self.back_off(subject.key, subject.uid, past, &trouble, asked))
    }

    /// Under which reason a refusal of the action is told.
    fn reason(&self, action: &Action<C::Step>) -> &'static str {
        match action {
            Action::Step(step) => self.controller.refusal_reason(step),
            Action::Event(event) => event.reason,
            Action::ReadSecret(_) => "SecretReadFailed",
        }
    }

    fn driver<'a>(&'a self, subject: &Subject<'a, C>) -> &'a str {
        self.controller.driver(subject.seen)
    }

    /// Waits for the back-off, and as long as was asked for.
    fn back_off(
        &self,
        key: &ObjectKey,
        uid: &str,
        mut past: Past<C::Memory>,
        trouble: &Trouble,
        asked: Duration,
    ) -> Outcome {
        let (failures, wait) = self.count(&mut past, trouble, asked);
        self.memories.remember(key, uid, past);
        tracing::warn!(%key, failures, ?wait, "failed: {}", trouble.why);
        Outcome::After(wait)
    }

    /// One failure more: how many there were in a row, and how long is waited for them.
    fn count(&self, past: &mut Past<C::Memory>, trouble: &Trouble, asked: Duration) -> (u32, Duration) {
        let failures = past.retries.failed(&trouble.of);
        let wait = self.backoff.after(failures, &self.random);
        // All who are asked to wait are asked at once, and are not to come back at once.
        let wait = wait.max(self.random.jittered(asked, ASKED_JITTER));
        past.retries.hold(&trouble.of, wait, self.clock.now());
        (failures, wait)
    }

    fn tell(&self, subject: &Subject<'_, C>, event: &Event) {
        let other = event.about.clone();
        let about = other.unwrap_or_else(|| self.controller.reference(subject.seen));
        self.recorder
            .event(&about, event.kind, event.reason, event.message.clone());
    }
}

/// The reason that a plan tells; the word for all that the frame does where it tells none.
fn reason<S, M>(plan: &Plan<S, M>) -> &'static str {
    let told = plan.actions.iter().find_map(|action| match action {
        Action::Event(event) if event.kind == EventType::Warning => Some(event.reason),
        Action::Event(_) | Action::Step(_) | Action::ReadSecret(_) => None,
    });
    told.unwrap_or("Reconcile")
}

/// A definite refusal is told at once: a missing right, a rule, a webhook that denies. What the API server answers
/// without a verdict (a webhook that is away) is told when it lasts. Throttling and silence never are.
fn is_told(error: &ApiError, failures: u32) -> bool {
    match error.class() {
        ApiErrorClass::Forbidden | ApiErrorClass::Invalid | ApiErrorClass::AlreadyExists => true,
        ApiErrorClass::Transient => failures >= TOLD_AFTER && error.code() >= 500,
        ApiErrorClass::Conflict | ApiErrorClass::NotFound | ApiErrorClass::Gone => false,
    }
}

#[async_trait]
impl<C: Controller> Reconcile<ObjectKey> for Reconciler<C> {
    async fn reconcile(&self, key: &ObjectKey) -> Outcome {
        let span = tracing::info_span!("reconcile", %key);
        self.rounds(key).instrument(span).await
    }
}
