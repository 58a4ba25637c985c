//! Metrics of a control plane's components.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::k0smotron::{DEFAULT_PROMETHEUS_IMAGE, DEFAULT_PROXY_IMAGE, or_default};

/// Metrics of a control plane's components, as metrics of its pods. Empty texts count as the defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["enabled"]))]
pub struct MonitoringSpec {
    /// Adds the containers that collect the metrics to the pods.
    #[serde(default)]
    pub enabled: bool,
    /// Image of Prometheus with its tag.
    #[serde(default = "MonitoringSpec::default_prometheus_image")]
    pub prometheus_image: String,
    /// Image of nginx with its tag.
    #[serde(default = "MonitoringSpec::default_proxy_image")]
    pub proxy_image: String,
}

impl MonitoringSpec {
    fn default_prometheus_image() -> String {
        DEFAULT_PROMETHEUS_IMAGE.to_owned()
    }

    fn default_proxy_image() -> String {
        DEFAULT_PROXY_IMAGE.to_owned()
    }

    /// Image of Prometheus with its tag, or the default.
    #[must_use]
    pub fn prometheus_image(&self) -> &str {
        or_default(&self.prometheus_image, DEFAULT_PROMETHEUS_IMAGE)
    }

    /// Image of nginx with its tag, or the default.
    #[must_use]
    pub fn proxy_image(&self) -> &str {
        or_default(&self.proxy_image, DEFAULT_PROXY_IMAGE)
    }
}
