//! The webhook's own certificates, for `--certificate-issuer=self-signed`: made, kept in a Secret that all replicas share,
//! trusted by the API server through the definition, and renewed while they are served.
//!
//! ```text
//! Begin     a pair of a certificate authority and a serving certificate, where none is stored
//! Trust     the definition names the webhook and every authority that is stored
//! Prepare   long before the end: the next pair is stored beside the present one, and trusted (Trust)
//! Promote   the definition has shown the next authority for a while: the next pair is the present one;
//!           the former authority stays trusted until the pair after it, so that replicas may be late
//! ```
//!
//! | Module | Subject |
//! |---|---|
//! | [`plan`] | which of these is due; pure |
//! | `issue` | making a pair |
//! | `secret` | what is stored as a Secret |
//! | [`keeper`] | requests |

mod issue;
pub mod keeper;
pub mod plan;
mod secret;

pub use issue::IssueError;
