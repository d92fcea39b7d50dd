//! Faults at the transports: refused before the effect, lost after the effect, delayed, sent twice, a
//! watch that lags or breaks, and the death of the process at a chosen call.
//!
//! Kubernetes, EC2 and CSI are all HTTP requests, so one [`Faults`] carries the calls of a process over all
//! three and numbers them in the order in which they are made. A [`Schedule`] says what befalls each. The
//! code under test is not changed for it: the owner of the transports calls [`Faults::carry`].

mod refusal;
mod schedule;
pub mod transports;
mod watch;

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tower::BoxError;

pub use refusal::Refusal;
pub use schedule::{At, Healthy, Schedule, Storm};
pub use watch::WatchBody;

/// Which outside a call goes to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Transport {
    /// The Kubernetes API.
    Kubernetes,
    /// The EC2 Query API.
    Ec2,
    /// The CSI driver.
    Csi,
}

/// A call that a process makes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// Its place among the calls of the process, from 1.
    pub number: u64,
    /// Where it goes.
    pub transport: Transport,
    /// What it does: `PATCH /apis/...`, `CreateSnapshot`, `/csi.v1.Controller/CreateSnapshot`.
    pub name: String,
    /// Whether it opens a watch, which has no effect and no end.
    pub watch: bool,
}

/// What befalls a call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It takes effect after this time.
    Delay(Duration),
    /// It is refused without effect.
    Refuse(Refusal),
    /// The connection breaks before it arrives.
    LoseRequest,
    /// It takes effect, and the connection breaks before the answer arrives.
    LoseAnswer,
    /// It arrives twice; the second answer is given.
    Repeat,
    /// The process dies before it arrives.
    CrashBefore,
    /// It takes effect, and the process dies before the answer arrives.
    CrashAfter,
    /// For a watch: every event arrives this much later.
    LagWatch(Duration),
    /// For a watch: the connection breaks after this time.
    CutWatch(Duration),
}

impl Fault {
    /// What a walk over all calls has befall each of them: the process may die, and the call be lost or doubled.
    pub const OF_A_WALK: [Self; 5] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::LoseRequest,
        Self::LoseAnswer,
        Self::Repeat,
    ];
}

/// Carries the calls of one process. Clones are the same process.
#[derive(Clone)]
pub struct Faults {
    inner: Arc<Inner>,
}

struct Inner {
    schedule: Box<dyn Schedule>,
    /// No call meets a fault any more.
    is_over: AtomicBool,
    calls: Mutex<Vec<(Call, Fault)>>,
    crashed: CancellationToken,
}

impl Faults {
    /// A process whose calls meet what the schedule says.
    #[must_use]
    pub fn new(schedule: impl Schedule + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                schedule: Box::new(schedule),
                is_over: AtomicBool::new(false),
                calls: Mutex::default(),
                crashed: CancellationToken::new(),
            }),
        }
    }

    /// A process whose calls all arrive.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Healthy)
    }

    /// The weather clears: calls that are made from now on all arrive.
    pub fn end(&self) {
        self.inner.is_over.store(true, Ordering::Relaxed);
    }

    /// Resolves once the schedule has killed the process. Its owner then drops everything that it runs.
    pub async fn crashed(&self) {
        self.inner.crashed.cancelled().await;
    }

    /// Whether the schedule has killed the process.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.inner.crashed.is_cancelled()
    }

    /// The calls made so far and what befell them.
    #[must_use]
    pub fn calls(&self) -> Vec<(Call, Fault)> {
        self.inner
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Carries one call. `send` lets it arrive, as often as it is called; `answer` turns a refusal into the
    /// form of the transport. A call of a dead process never returns.
    ///
    /// # Errors
    /// What `send` answers, or the broken connection that the schedule asks for.
    pub async fn carry<R, Sent>(
        &self,
        transport: Transport,
        request: http::Request<Bytes>,
        send: impl Fn(http::Request<Bytes>) -> Sent,
        answer: impl Fn(http::Response<Bytes>) -> R,
    ) -> Result<(R, Fault), BoxError>
    where
        Sent: Future<Output = Result<R, BoxError>>,
    {
        if self.has_crashed() {
            std::future::pending::<()>().await;
        }
        let (call, fault) = self.register(transport, &request);
        let response = match &fault {
            Fault::None | Fault::LagWatch(_) | Fault::CutWatch(_) => send(request).await?,
            Fault::Delay(duration) => {
                tokio::time::sleep(*duration).await;
                send(request).await?
            }
            Fault::Refuse(refusal) => answer(refusal.response(transport)),
            Fault::LoseRequest => return Err(lost(&call, "before it arrived")),
            Fault::LoseAnswer => {
                let _ = send(request).await;
                return Err(lost(&call, "before the answer arrived"));
            }
            Fault::Repeat => {
                let _ = send(copy(&request)).await;
                send(request).await?
            }
            Fault::CrashBefore => self.crash().await,
            Fault::CrashAfter => {
                let _ = send(request).await;
                self.crash().await
            }
        };
        Ok((response, fault))
    }

    fn register(&self, transport: Transport, request: &http::Request<Bytes>) -> (Call, Fault) {
        let mut calls = self.inner.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let call = Call {
            number: calls.len() as u64 + 1,
            transport,
            name: name(transport, request),
            watch: transport == Transport::Kubernetes && is_watch(request),
        };
        let fault = if self.inner.is_over.load(Ordering::Relaxed) {
            Fault::None
        } else {
            self.inner.schedule.fault(&call)
        };
        calls.push((call.clone(), fault.clone()));
        (call, fault)
    }

    async fn crash<R>(&self) -> R {
        self.inner.crashed.cancel();
        std::future::pending().await
    }
}

fn lost(call: &Call, when: &str) -> BoxError {
    std::io::Error::new(
        std::io::ErrorKind::ConnectionReset,
        format!("{}: the connection broke {when}", call.name),
    )
    .into()
}

fn copy(request: &http::Request<Bytes>) -> http::Request<Bytes> {
    let mut copied = http::Request::new(request.body().clone());
    *copied.method_mut() = request.method().clone();
    *copied.uri_mut() = request.uri().clone();
    *copied.version_mut() = request.version();
    *copied.headers_mut() = request.headers().clone();
    copied
}

fn is_watch(request: &http::Request<Bytes>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .any(|(key, value)| key == "watch" && value != "false" && value != "0")
}

fn name(transport: Transport, request: &http::Request<Bytes>) -> String {
    match transport {
        Transport::Kubernetes => format!("{} {}", request.method(), request.uri().path()),
        Transport::Csi => request.uri().path().to_owned(),
        Transport::Ec2 => form_urlencoded::parse(request.body())
            .find(|(key, _)| key == "Action")
            .map_or_else(|| "unknown action".to_owned(), |(_, action)| action.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn create_snapshot() -> http::Request<Bytes> {
        http::Request::new(Bytes::from_static(b"Action=CreateSnapshot&Version=2016-11-15"))
    }

    async fn outcome(fault: Fault) -> (Option<Result<http::StatusCode, String>>, u32, Faults) {
        let faults = Faults::new(At { number: 1, fault });
        let effects = AtomicU32::new(0);
        let carried = faults.carry(
            Transport::Ec2,
            create_snapshot(),
            |_| async {
                effects.fetch_add(1, Ordering::SeqCst);
                Ok(http::Response::new(Bytes::new()))
            },
            |refused| refused,
        );
        let answered = tokio::time::timeout(Duration::from_secs(60), carried).await.ok();
        let answered = answered.map(|result| {
            result
                .map(|(response, _)| response.status())
                .map_err(|error| error.to_string())
        });
        (answered, effects.load(Ordering::SeqCst), faults)
    }

    #[tokio::test(start_paused = true)]
    async fn each_fault_has_its_effects_and_its_answer() {
        let ok = http::StatusCode::OK;
        let rows = [
            (Fault::None, Some(Ok(ok)), 1),
            (Fault::Delay(Duration::from_secs(5)), Some(Ok(ok)), 1),
            (
                Fault::Refuse(Refusal::Throttled),
                Some(Ok(http::StatusCode::SERVICE_UNAVAILABLE)),
                0,
            ),
            (Fault::LoseRequest, Some(Err(())), 0),
            (Fault::LoseAnswer, Some(Err(())), 1),
            (Fault::Repeat, Some(Ok(ok)), 2),
            (Fault::CrashBefore, None, 0),
            (Fault::CrashAfter, None, 1),
        ];
        for (fault, expected, expected_effects) in rows {
            let (answered, effects, faults) = outcome(fault.clone()).await;
            assert_eq!(answered.map(|result| result.map_err(drop)), expected, "{fault:?}");
            assert_eq!(effects, expected_effects, "{fault:?}");
            assert_eq!(faults.has_crashed(), expected.is_none(), "{fault:?}");
            assert_eq!(faults.calls()[0].0.name, "CreateSnapshot");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_process_makes_no_more_calls() {
        let (_, _, faults) = outcome(Fault::CrashBefore).await;
        let next = faults.carry(
            Transport::Ec2,
            create_snapshot(),
            |_| async { Ok(http::Response::new(Bytes::new())) },
            |refused| refused,
        );
        assert!(tokio::time::timeout(Duration::from_secs(60), next).await.is_err());
        assert_eq!(faults.calls().len(), 1);
    }
}
