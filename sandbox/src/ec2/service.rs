//! The service: a request becomes a form, a form an answer.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header};
use tower::{BoxError, Service};

use super::errors::Ec2Error;
use super::faults::Fault;
use super::json;
use super::query::{Form, Query};
use super::state::{Answer, Call};
use super::xml::error_document;
use super::{CallRecord, Ec2, Region};

/// What becomes of a request once it has had its effect.
enum Outcome {
    Answer(Reply),
    AnswerAfter(Duration, Reply),
    Silence,
    Break,
}

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// EC2's: forms and XML.
    Query,
    /// SageMaker's.
    Json,
}

struct Reply {
    protocol: Protocol,
    status: StatusCode,
    body: String,
    request_id: String,
    code: Option<String>,
}

/// The connection broke before an answer was sent.
#[derive(Debug, thiserror::Error)]
#[error("connection reset by peer")]
struct Disconnected;

impl Service<Request<Bytes>> for Ec2 {
    type Response = Response<Bytes>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Bytes>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let ec2 = self.clone();
        Box::pin(async move {
            match ec2.take(&request) {
                Outcome::Answer(reply) => reply.response(),
                Outcome::AnswerAfter(delay, reply) => {
                    tokio::time::sleep(delay).await;
                    reply.response()
                }
                Outcome::Silence => std::future::pending().await,
                Outcome::Break => Err(Disconnected.into()),
            }
        })
    }
}

impl Ec2 {
    /// Gives a request its effect. Everything happens here, at one moment.
    fn take(&self, request: &Request<Bytes>) -> Outcome {
        let request_id = self.random().uuid();
        let now = self.clock().now();
        let signed_by = access_key(request);
        let (protocol, query) = match json::action(request.headers()) {
            Some(action) => (Protocol::Json, json::parse(action, request.body())),
            None => (Protocol::Query, parse(request)),
        };
        let query = match query {
            Ok(query) => query,
            Err(error) => {
                let reply = Reply::of_error(protocol, &error, request_id);
                let record = record(now, "", &Form::default(), Some(&reply));
                self.with(|region| region.record(CallRecord { signed_by, ..record }));
                return Outcome::Answer(reply);
            }
        };
        self.with(|region| {
            let fault = region.faults.meet(&query.action, query.form.values());
            let form = query.form.clone();
            let outcome = self.act(region, (protocol, query), fault, now, &request_id);
            let reply = match &outcome.1 {
                Outcome::Answer(reply) | Outcome::AnswerAfter(_, reply) => Some(reply),
                Outcome::Silence | Outcome::Break => None,
            };
            let record = record(now, &outcome.0, &form, reply);
            region.record(CallRecord { signed_by, ..record });
            outcome.1
        })
    }

    fn act(
        &self,
        region: &mut Region,
        (protocol, query): (Protocol, Query),
        fault: Option<Fault>,
        now: jiff::Timestamp,
        request_id: &str,
    ) -> (String, Outcome) {
        let action = query.action;
        match &fault {
            Some(Fault::Error(error)) => {
                return (
                    action,
                    Outcome::Answer(Reply::of_error(protocol, error, request_id.to_owned())),
                );
            }
            Some(Fault::Timeout) => return (action, Outcome::Silence),
            Some(Fault::Disconnect) => return (action, Outcome::Break),
            _ => {}
        }
        let fails_later = fault == Some(Fault::FailsLater);
        let answer = self.apply(region, &action, query.form, now, fails_later);
        let mut reply = Reply::of(protocol, &action, answer, request_id.to_owned());
        let outcome = match fault {
            Some(Fault::ErrorAfterEffect(error)) => {
                Outcome::Answer(Reply::of_error(protocol, &error, request_id.to_owned()))
            }
            Some(Fault::LostAnswer) => Outcome::Silence,
            Some(Fault::Delay(delay)) => Outcome::AnswerAfter(delay, reply),
            Some(Fault::Body(body)) => {
                reply.body = body;
                reply.status = StatusCode::OK;
                reply.code = None;
                Outcome::Answer(reply)
            }
            _ => Outcome::Answer(reply),
        };
        (action, outcome)
    }

    fn apply(
        &self,
        region: &mut Region,
        action: &str,
        form: Form,
        now: jiff::Timestamp,
        fails_later: bool,
    ) -> Answer {
        let throttles = &region.options.throttles;
        if !region.buckets.take(action, form.is_narrow(), throttles, now) {
            return Err(Ec2Error::new("RequestLimitExceeded", "Request limit exceeded."));
        }
        let call = Call {
            now,
            options: &region.options,
            random: self.random(),
            fails_later,
        };
        let answer = region.state.apply(action, form, &call);
        match region.reconcile(now) {
            Ok(()) => answer,
            Err(error) => Err(Ec2Error::new("InternalError", error.to_string())),
        }
    }
}

/// The form is the body of a POST, or the query of a GET.
fn parse(request: &Request<Bytes>) -> Result<Query, Ec2Error> {
    match *request.method() {
        Method::POST => Query::parse(request.body()),
        Method::GET => Query::parse(request.uri().query().unwrap_or_default().as_bytes()),
        _ => Err(Ec2Error::new(
            "InvalidRequest",
            "The request received was invalid: only GET and POST are supported",
        )),
    }
}

/// The access key of `Authorization: AWS4-HMAC-SHA256 Credential=<key>/<date>/...`.
fn access_key(request: &Request<Bytes>) -> Option<String> {
    let header = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, scope) = header.split_once("Credential=")?;
    scope.split_once('/').map(|(key, _)| key.to_owned())
}

fn record(now: jiff::Timestamp, action: &str, form: &Form, reply: Option<&Reply>) -> CallRecord {
    CallRecord {
        number: 0,
        action: action.to_owned(),
        parameters: form.values().clone(),
        code: reply.and_then(|reply| reply.code.clone()),
        status: reply.map(|reply| reply.status),
        at: now,
        dry_run: form.values().get("DryRun").is_some_and(|value| value == "true"),
        signed_by: None,
    }
}

impl Reply {
    fn of(protocol: Protocol, action: &str, answer: Answer, request_id: String) -> Self {
        match answer {
            Ok(fields) => Self {
                protocol,
                status: StatusCode::OK,
                body: match protocol {
                    Protocol::Query => fields.document(action, &request_id),
                    Protocol::Json => json::document(&fields),
                },
                request_id,
                code: None,
            },
            Err(error) => Self::of_error(protocol, &error, request_id),
        }
    }

    fn of_error(protocol: Protocol, error: &Ec2Error, request_id: String) -> Self {
        let (status, body) = match protocol {
            Protocol::Query => (
                error.status,
                error_document(&error.code, &error.message, &request_id),
            ),
            Protocol::Json => json::refusal(error),
        };
        Self {
            protocol,
            status,
            body,
            request_id,
            code: Some(error.code.clone()),
        }
    }

    fn response(self) -> Result<Response<Bytes>, BoxError> {
        let content = match self.protocol {
            Protocol::Query => "text/xml;charset=UTF-8",
            Protocol::Json => "application/x-amz-json-1.1",
        };
        Ok(Response::builder()
            .status(self.status)
            .header(header::CONTENT_TYPE, content)
            .header("x-amzn-requestid", self.request_id)
            .header(header::SERVER, "AmazonEC2")
            .body(Bytes::from(self.body))?)
    }
}
