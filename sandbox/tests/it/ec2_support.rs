//! A client for tests: sends forms, reads fields out of answers.

use std::time::Duration;

use base::{Clock, Random};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use sandbox::ec2::{Ec2, Ec2Options};
use tower::{BoxError, ServiceExt};

/// A region that began at midnight of 2026.
pub fn region(options: Ec2Options) -> Ec2 {
    seeded(7, options)
}

/// A region with this seed.
pub fn seeded(seed: u64, options: Ec2Options) -> Ec2 {
    let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    Ec2::new(clock, Random::seeded(seed), options)
}

/// Lets this many milliseconds pass.
pub async fn pass(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: String,
}

impl Answer {
    /// The texts of all elements of this name.
    pub fn all(&self, name: &str) -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let parts = self.body.split(&open).skip(1);
        parts
            .map(|part| part.split(&close).next().unwrap_or_default().to_owned())
            .collect()
    }

    /// The text of the first element of this name; empty if there is none.
    pub fn one(&self, name: &str) -> String {
        self.all(name).into_iter().next().unwrap_or_default()
    }

    /// The answer if it is a success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self
    }

    /// The code if it is an error.
    #[track_caller]
    pub fn code(&self) -> String {
        assert_ne!(self.status, StatusCode::OK, "{}", self.body);
        self.one("Code")
    }
}

/// Sends a form and waits for the answer, or the end of the connection.
pub async fn send(ec2: &Ec2, action: &str, parameters: &[(&str, &str)]) -> Result<Answer, BoxError> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action)
        .append_pair("Version", "2016-11-15");
    form.extend_pairs(parameters);
    let request = Request::builder()
        .method(Method::POST)
        .uri("http://ec2.us-east-1.amazonaws.com/")
        .body(Bytes::from(form.finish()))?;
    answer(ec2.clone().oneshot(request).await?)
}

/// Reads an answer.
pub fn answer(response: Response<Bytes>) -> Result<Answer, BoxError> {
    Ok(Answer {
        status: response.status(),
        body: String::from_utf8(response.into_body().to_vec())?,
    })
}

/// Sends a form to a service that answers.
pub async fn call(ec2: &Ec2, action: &str, parameters: &[(&str, &str)]) -> Answer {
    send(ec2, action, parameters).await.unwrap()
}
