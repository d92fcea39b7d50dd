//! One connection to a driver's socket that is made again whenever it breaks.
//!
//! A task of the channel's scope holds it. The loss is noticed when the socket closes, not at the next call
//! (sidecars.md 1.2), because the stream itself reports its end.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use base::{Random, Scope};
use http::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tower::{ServiceExt, service_fn};

use crate::address::Address;
use crate::channel::{ConnectOptions, State, unreachable};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_ATTEMPT: Duration = Duration::from_secs(20);
const LOG_EVERY: Duration = Duration::from_secs(10);
/// As clients in Go take: the text of an error comes in the headers, and one that is too long for them is lost whole.
const LONGEST_HEADERS: u32 = 16 << 20;

/// A handle to the connection. The task behind it ends with the last handle.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    address: Arc<Address>,
    link: watch::Receiver<Link>,
    state: Arc<watch::Sender<State>>,
    /// The handles own the task: whoever connects need not keep the scope.
    _scope: Scope,
}

/// What the next call finds.
#[derive(Clone, Debug)]
enum Link {
    /// An attempt runs: calls wait for its end.
    Connecting,
    Up(tonic::transport::Channel),
    /// The last attempt failed: calls fail until the next one succeeds.
    Down(String),
}

impl Connection {
    pub(crate) fn open(address: Address, options: ConnectOptions) -> Self {
        let link = watch::Sender::new(Link::Connecting);
        let state = Arc::new(watch::Sender::new(State::Lost {
            since: Instant::now(),
        }));
        let address = Arc::new(address);
        let connection = Self {
            address: address.clone(),
            link: link.subscribe(),
            state: state.clone(),
            _scope: options.scope.clone(),
        };
        let keeper = Keeper {
            address,
            tasks: options.scope.child(),
            random: options.random.clone(),
            link,
            state,
        };
        options
            .scope
            .spawn_named("connection to the CSI driver", keeper.keep());
        connection
    }

    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Why the last attempt failed; nothing where there is a connection or none has ended yet.
    pub(crate) fn failure(&self) -> Option<Status> {
        match &*self.link.borrow() {
            Link::Down(reason) => Some(unreachable(&self.address, reason)),
            Link::Connecting | Link::Up(_) => None,
        }
    }

    pub(crate) async fn send(mut self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let link = match self.link.wait_for(|link| !matches!(link, Link::Connecting)).await {
            Ok(link) => link.clone(),
            Err(_) => Link::Down("this process is stopping".to_string()),
        };
        let failed = |error: &dyn std::error::Error| unreachable(&self.address, &chain(error));
        match link {
            Link::Up(channel) => match channel.ready_oneshot().await {
                Ok(mut channel) => channel.call(request).await.map_err(|error| failed(&error)),
                Err(error) => Err(failed(&error)),
            },
            Link::Down(reason) => Err(unreachable(&self.address, &reason)),
            Link::Connecting => Err(unreachable(&self.address, &"still connecting")),
        }
    }
}

/// An error with its causes: tonic's own text is only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The task that makes the connection again and again.
struct Keeper {
    address: Arc<Address>,
    /// Owns the tasks of the HTTP/2 connection.
    tasks: Scope,
    random: Random,
    link: watch::Sender<Link>,
    state: Arc<watch::Sender<State>>,
}

impl Keeper {
    async fn keep(self) {
        let (mut made, mut delay) = (0_u64, FIRST_DELAY);
        let mut last_log: Option<Instant> = None;
        while !self.link.is_closed() {
            match self.attempt().await {
                Ok((channel, ended)) => {
                    made += 1;
                    delay = FIRST_DELAY;
                    last_log = None;
                    tracing::info!(address = %self.address, "connected to the CSI driver");
                    self.link.send_replace(Link::Up(channel));
                    self.state.send_replace(State::Connected { connection: made });
                    tokio::select! {
                        biased;
                        () = ended.cancelled() => {}
                        () = self.link.closed() => return,
                    }
                    tracing::warn!(address = %self.address, "lost the connection to the CSI driver");
                    self.link.send_replace(Link::Connecting);
                    self.state.send_replace(State::Lost {
                        since: Instant::now(),
                    });
                }
                Err(error) => {
                    if last_log.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
                        tracing::warn!(address = %self.address, %error, "still connecting to the CSI driver");
                        last_log = Some(Instant::now());
                    }
                    self.link.send_replace(Link::Down(error));
                    tokio::time::sleep(self.random.jittered(delay, 0.1).min(LONGEST_DELAY)).await;
                    delay = (delay * 2).min(LONGEST_DELAY);
                }
            }
        }
    }

    /// Connects once. The token fires when the stream has ended.
    async fn attempt(&self) -> Result<(tonic::transport::Channel, CancellationToken), String> {
        let opened = tokio::time::timeout(LONGEST_ATTEMPT, open(&self.address));
        let stream = match opened.await {
            Ok(opened) => opened.map_err(|error| error.to_string())?,
            Err(_) => return Err("no answer in 20 s".to_string()),
        };
        let ended = CancellationToken::new();
        let watched = Watched {
            stream,
            ended: ended.clone(),
            _end_on_drop: ended.clone().drop_guard(),
        };
        // The stream is handed out once: a broken connection is made again by `keep`, not behind its back.
        let once = Arc::new(Mutex::new(Some(TokioIo::new(watched))));
        let connector = service_fn(move |_: Uri| {
            let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            std::future::ready(stream.ok_or_else(|| io::Error::other("the connection is closed")))
        });
        let endpoint = tonic::transport::Endpoint::from_static("http://localhost")
            .executor(Tasks(self.tasks.clone()))
            .http2_max_header_list_size(LONGEST_HEADERS);
        let channel = endpoint.connect_with_connector(connector).await;
        channel
            .map(|channel| (channel, ended))
            .map_err(|error| chain(&error))
    }
}

async fn open(address: &Address) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Address::Tcp(target) => {
            let stream = TcpStream::connect(target).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    })
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Spawns the tasks of a connection in its scope.
#[derive(Clone)]
struct Tasks(Scope);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.spawn_named("HTTP/2 connection to the CSI driver", task);
    }
}

/// A stream that tells of its end.
struct Watched {
    stream: Box<dyn Stream>,
    ended: CancellationToken,
    _end_on_drop: DropGuard,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        match &read {
            Poll::Ready(Ok(())) if buffer.filled().len() > before || buffer.remaining() == 0 => {}
            Poll::Ready(_) => self.ended.cancel(),
            Poll::Pending => {}
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
