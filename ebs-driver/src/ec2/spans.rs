//! Requests to EC2 as spans of a trace, one an attempt. They tell the action and what came of it, by HTTP's status and EC2's
//! code: texts of EC2, parameters and credentials are no part of them. Source: OpenTelemetry's conventions for AWS.

use base::traces::TARGET;
use tracing::{Span, field};

use super::errors::{Action, Ec2Error, Failure};

/// Begins an attempt, as a part of the call that is being answered.
pub(super) fn begin(action: Action) -> Span {
    tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format_args!("{}.{}", service(action), action.name()),
        otel.kind = "client",
        otel.status_code = field::Empty,
        rpc.system = "aws-api",
        rpc.service = service(action),
        rpc.method = action.name(),
        http.response.status_code = field::Empty,
        "error.type" = field::Empty,
    )
}

/// As its SDK names it.
fn service(action: Action) -> &'static str {
    match action.service() {
        "sagemaker" => "SageMaker",
        _ => "EC2",
    }
}

/// Says what came of it.
pub(super) fn end<T>(span: &Span, outcome: &Result<T, Ec2Error>) {
    let Err(error) = outcome else {
        span.record("http.response.status_code", 200);
        return;
    };
    span.record("otel.status_code", "ERROR");
    match &error.failure {
        Failure::Answer { status, code, .. } => {
            span.record("http.response.status_code", i64::from(*status));
            span.record("error.type", code.as_str());
        }
        Failure::Lost { why, .. } => {
            span.record("error.type", why.label());
        }
        Failure::Waits { .. } => {}
    }
}
