//! The files that the programs are given: key, tokens, audit policy, kubeconfigs.

use std::path::Path;

use base::Random;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::Error;

/// A P-256 key in the form of SEC 1: the API server signs service account tokens with it.
pub(super) fn signing_key(random: &Random) -> String {
    let mut secret: Vec<u8> = (0..4).flat_map(|_| random.next_u64().to_be_bytes()).collect();
    // Any number from 1 to the order of the curve is a key; below 2^255 and above 0 all are.
    secret[0] = (secret[0] & 0x7f) | 1;
    let curve = [
        0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    let mut key = vec![0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
    key.extend(secret);
    key.extend(curve);
    format!(
        "-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n",
        STANDARD.encode(key)
    )
}

/// Every request with its user and outcome, without bodies; when a watch begins and when it ends.
pub(super) fn audit_policy() -> String {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": true,
        "rules": [{ "level": "Metadata" }],
    })
    .to_string()
}

/// The kubeconfig of a user, in JSON, which is YAML.
pub(super) fn kubeconfig(url: &str, authority: &Path, token: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "it", "cluster": { "server": url, "certificate-authority": authority } }],
        "users": [{ "name": "it", "user": { "token": token } }],
        "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it", "namespace": "default" } }],
        "current-context": "it",
    })
    .to_string()
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(Error::system(format!("write {}", path.display())))
}
