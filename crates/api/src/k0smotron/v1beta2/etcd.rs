//! etcd, in pods of its own.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::VolumeSpec;
use crate::{
    embedded::{Embedded, ResourceRequirements},
    k0smotron::{
        DEFAULT_DEFRAG_IMAGE, DEFAULT_DEFRAG_RULE, DEFAULT_DEFRAG_SCHEDULE, DEFAULT_ETCD_IMAGE, or_default,
    },
};

/// etcd, in pods of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EtcdSpec {
    /// Image with its tag.
    #[serde(default = "EtcdSpec::default_image")]
    pub image: String,
    /// Further arguments of etcd; later ones win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Volume of each member.
    #[serde(default)]
    pub persistence: VolumeSpec,
    /// Deletes the claims with the control plane.
    #[serde(default, rename = "autoDeletePVCs")]
    pub auto_delete_pvcs: bool,
    /// Job that defragments the members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defrag_job: Option<DefragJob>,
    /// Resources of the container of etcd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Embedded<ResourceRequirements>>,
}

impl EtcdSpec {
    fn default_image() -> String {
        DEFAULT_ETCD_IMAGE.to_owned()
    }

    /// Image with its tag, or the default.
    #[must_use]
    pub fn image(&self) -> &str {
        or_default(&self.image, DEFAULT_ETCD_IMAGE)
    }
}

impl Default for EtcdSpec {
    fn default() -> Self {
        Self {
            image: Self::default_image(),
            args: Vec::new(),
            persistence: VolumeSpec::default(),
            auto_delete_pvcs: false,
            defrag_job: None,
            resources: None,
        }
    }
}

/// Job that defragments the members of etcd. Empty texts count as the defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefragJob {
    /// Runs the Job.
    #[serde(default)]
    pub enabled: bool,
    /// When it runs, as a cron schedule.
    #[serde(default = "DefragJob::default_schedule")]
    pub schedule: String,
    /// Which members it defragments: a rule of etcd-defrag.
    #[serde(default = "DefragJob::default_rule")]
    pub rule: String,
    /// Image of etcd-defrag with its tag.
    #[serde(default = "DefragJob::default_image")]
    pub image: String,
}

impl DefragJob {
    fn default_schedule() -> String {
        DEFAULT_DEFRAG_SCHEDULE.to_owned()
    }

    fn default_rule() -> String {
        DEFAULT_DEFRAG_RULE.to_owned()
    }

    fn default_image() -> String {
        DEFAULT_DEFRAG_IMAGE.to_owned()
    }

    /// Cron schedule, or the default.
    #[must_use]
    pub fn schedule(&self) -> &str {
        or_default(&self.schedule, DEFAULT_DEFRAG_SCHEDULE)
    }

    /// Rule of etcd-defrag, or the default.
    #[must_use]
    pub fn rule(&self) -> &str {
        or_default(&self.rule, DEFAULT_DEFRAG_RULE)
    }

    /// Image with its tag, or the default.
    #[must_use]
    pub fn image(&self) -> &str {
        or_default(&self.image, DEFAULT_DEFRAG_IMAGE)
    }
}
