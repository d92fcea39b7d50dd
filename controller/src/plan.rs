//! What a controller decides.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::EventType;
use runtime::objects::SecretName;

/// What is to be done about one object now: the actions in this order, then `next`.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<S, M> {
    /// An action that fails ends those behind it, but for warnings: they are told whatever was written.
    pub actions: Vec<Action<S>>,
    /// What to remember even if an action fails.
    pub at_once: Option<M>,
    /// What to remember once all is done.
    pub memory: M,
    /// When to look again.
    pub next: Next,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action<S> {
    /// A request or a call.
    Step(S),
    /// GET of a Secret. The answer is in the next round's [`crate::Run`].
    ReadSecret(SecretName),
    /// An event.
    Event(Event),
}

/// An event about the object that a plan is for, or about another one that hears of it nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Normal or Warning.
    pub kind: EventType,
    /// One of the reasons that the controller lists in its `events`.
    pub reason: &'static str,
    /// For the user: what happened and what helps.
    pub message: String,
    /// The object that it is about; none is that of the plan.
    pub about: Option<ObjectReference>,
}

/// When to look at the object again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once: the actions have brought something new.
    Again,
    /// When something that was observed changes.
    Await,
    /// After this time, by a timer that is no back-off.
    After(Duration),
    /// After the back-off, or earlier when something that was observed changes.
    Backoff(Trouble),
    /// The back-off goes on until then.
    Held(Timestamp),
}

/// Why nothing more can be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What failed, for the log.
    pub why: String,
    /// What was tried. Trying something else starts a back-off of its own.
    pub of: String,
}

impl Trouble {
    /// Of nothing that has a name.
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            of: String::new(),
        }
    }
}

impl Event {
    /// An event that tells of progress.
    #[must_use]
    pub fn normal(reason: &'static str, message: String) -> Self {
        Self {
            kind: EventType::Normal,
            reason,
            message,
            about: None,
        }
    }

    /// An event that asks for help.
    #[must_use]
    pub fn warning(reason: &'static str, message: String) -> Self {
        Self {
            kind: EventType::Warning,
            reason,
            message,
            about: None,
        }
    }

    /// The same about another object.
    #[must_use]
    pub fn about(self, object: ObjectReference) -> Self {
        Self {
            about: Some(object),
            ..self
        }
    }
}

impl Next {
    /// The back-off of an object that is only ever tried in one way.
    #[must_use]
    pub fn backoff(why: impl Into<String>) -> Self {
        Self::Backoff(Trouble::new(why))
    }
}

impl<S, M> Plan<S, M> {
    /// Nothing to do until something changes; this is remembered.
    #[must_use]
    pub fn resting(memory: M) -> Self {
        Self {
            actions: Vec::new(),
            at_once: None,
            memory,
            next: Next::Await,
        }
    }

    /// One more step.
    #[must_use]
    pub fn step(mut self, step: S) -> Self {
        self.actions.push(Action::Step(step));
        self
    }

    /// One more Secret to be read.
    #[must_use]
    pub fn read_secret(mut self, secret: SecretName) -> Self {
        self.actions.push(Action::ReadSecret(secret));
        self
    }

    /// One more event.
    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.actions.push(Action::Event(event));
        self
    }

    /// With another end.
    #[must_use]
    pub fn then(self, next: Next) -> Self {
        Self { next, ..self }
    }

    /// Remembers this even if an action fails.
    #[must_use]
    pub fn remembering_at_once(self, memory: M) -> Self {
        Self {
            at_once: Some(memory),
            ..self
        }
    }

    /// The steps, without Secrets and events.
    pub fn steps(&self) -> impl Iterator<Item = &S> {
        self.actions.iter().filter_map(|action| match action {
            Action::Step(step) => Some(step),
            Action::ReadSecret(_) | Action::Event(_) => None,
        })
    }
}
