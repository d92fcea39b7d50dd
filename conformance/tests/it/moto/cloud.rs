//! An EC2 at an address, and what tests do there beside the driver.

use std::collections::BTreeMap;

use base::{Clock, Random, Scope};
use bytes::Bytes;
use ebs_driver::Ec2Transport;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sandbox::ec2::{Ec2, Ec2Options, Zone};
use serde_json::Value;
use tokio::net::TcpListener;
use tower::BoxError;
use tower::util::BoxCloneSyncService;

use super::xml;

/// moto tells the service by the scope of the signature and does not check it.
const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, \
                         SignedHeaders=host, Signature=0";

/// moto's zones. It numbers them as one account may see them.
const ZONES: [(&str, &str); 6] = [
    ("us-east-1a", "use1-az6"),
    ("us-east-1b", "use1-az1"),
    ("us-east-1c", "use1-az2"),
    ("us-east-1d", "use1-az4"),
    ("us-east-1e", "use1-az3"),
    ("us-east-1f", "use1-az5"),
];

/// An EC2 served over HTTP.
pub struct Cloud {
    service: BoxCloneSyncService<Request<Bytes>, Response<Bytes>, BoxError>,
    /// The sandbox has instances by fixture only.
    sandbox: Option<Ec2>,
}

/// What an EC2 answered.
pub struct Answer {
    pub status: StatusCode,
    /// The answer without its outermost element.
    pub body: Value,
}

impl Cloud {
    /// The sandbox, served on loopback until `scope` ends; everything in it is done at once, as in moto.
    pub async fn sandbox(scope: &Scope) -> Self {
        let zones = ZONES.iter().map(|(name, id)| Zone::new(name, id)).collect();
        let options = Ec2Options {
            zones,
            ..Ec2Options::instant()
        };
        let ec2 = Ec2::new(Clock::system(), Random::seeded(6), options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = ec2.serve(listener, scope).unwrap();
        Self {
            sandbox: Some(ec2),
            ..Self::at(&url)
        }
    }

    pub fn at(url: &str) -> Self {
        let authority = url.trim_start_matches("http://").to_owned();
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let service = tower::service_fn(move |request| forward(client.clone(), authority.clone(), request));
        Self {
            service: BoxCloneSyncService::new(service),
            sandbox: None,
        }
    }

    pub fn transport(&self) -> Ec2Transport {
        Ec2Transport::InProcess(self.service.clone())
    }

    /// Sends one request of the Query protocol.
    pub async fn send(&self, action: &str, parameters: &BTreeMap<String, String>) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action)
            .append_pair("Version", "2016-11-15")
            .extend_pairs(parameters);
        let request = Request::post("http://ec2.us-east-1.amazonaws.com/")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(AUTHORIZATION, SIGNATURE)
            .body(Bytes::from(form.finish()))
            .unwrap();
        let response = tower::ServiceExt::oneshot(self.service.clone(), request)
            .await
            .unwrap();
        let text = String::from_utf8(response.body().to_vec()).unwrap();
        Answer {
            status: response.status(),
            body: xml::parse(&text).unwrap_or(Value::String(text)),
        }
    }

    /// The ID of a new running instance.
    pub async fn run_instance(&self, zone: &str, kind: &str) -> String {
        if let Some(ec2) = &self.sandbox {
            return ec2.create_instance_fixture(zone, kind, &[]).unwrap();
        }
        let parameters = [
            ("ImageId", "ami-00000000000000000"),
            ("InstanceType", kind),
            ("MaxCount", "1"),
            ("MinCount", "1"),
            ("Placement.AvailabilityZone", zone),
        ];
        let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let answer = self.send("RunInstances", &parameters.into()).await;
        let id = answer.body.pointer("/instancesSet/0/instanceId");
        id.and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no instance: {}", answer.body))
            .to_owned()
    }
}

async fn forward(
    client: Client<HttpConnector, Full<Bytes>>,
    authority: String,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, BoxError> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = format!("http://{authority}{path}").parse::<Uri>()?;
    head.headers.insert(HOST, HeaderValue::from_str(&authority)?);
    let response = client.request(Request::from_parts(head, Full::new(body))).await?;
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}
