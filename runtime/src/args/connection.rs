//! The API server and the limits towards it.

use std::path::Path;

use base::RateLimit;

/// Flags that say how to reach the API server.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct KubeArgs {
    /// Path of a kubeconfig file; empty means the service account of the pod.
    #[arg(long, value_name = "FILE", default_value = "")]
    pub kubeconfig: String,

    /// Address of the API server, instead of the kubeconfig's; empty means that. No flag of its own: only some programs have one.
    #[arg(skip)]
    pub master: String,

    /// Requests a second to the API server on average; unset, 0 or negative means no limit.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub kube_api_qps: Option<f32>,

    /// Requests to the API server at once when --kube-api-qps is set; unset means 10, 0 or negative no limit.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub kube_api_burst: Option<i32>,
}

impl KubeArgs {
    /// The limit that the flags ask for, if any. Source: decision 5.
    #[must_use]
    pub fn rate_limit(&self) -> Option<RateLimit> {
        let qps = self.kube_api_qps.filter(|qps| *qps > 0.0 && qps.is_finite())?;
        // With a rate but no burst the user expects upstream's burst; a burst without bound is no limit.
        let burst = u32::try_from(self.kube_api_burst.unwrap_or(10))
            .ok()
            .filter(|burst| *burst > 0)?;
        Some(RateLimit {
            qps: f64::from(qps),
            burst,
        })
    }

    /// The kubeconfig file, if one is named.
    #[must_use]
    pub fn kubeconfig(&self) -> Option<&Path> {
        (!self.kubeconfig.is_empty()).then_some(Path::new(&self.kubeconfig))
    }

    /// The address of the API server, if one is named.
    #[must_use]
    pub fn master(&self) -> Option<&str> {
        Some(self.master.as_str()).filter(|master| !master.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_zero_and_negative_mean_no_limit() {
        let limit = |kube_api_qps, kube_api_burst| {
            KubeArgs {
                kube_api_qps,
                kube_api_burst,
                ..KubeArgs::default()
            }
            .rate_limit()
        };
        assert_eq!(limit(None, None), None);
        assert_eq!(limit(Some(0.0), Some(5)), None);
        assert_eq!(limit(Some(-1.0), Some(5)), None);
        assert_eq!(limit(Some(f32::NAN), Some(5)), None);
        assert_eq!(limit(None, Some(5)), None);
        assert_eq!(limit(Some(20.0), Some(-1)), None);
        assert_eq!(
            limit(Some(20.0), Some(100)),
            Some(RateLimit {
                qps: 20.0,
                burst: 100
            })
        );
        assert_eq!(limit(Some(20.0), None), Some(RateLimit { qps: 20.0, burst: 10 }));
    }
}
