//! The datastore of a control plane.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EtcdSpec, VolumeSpec};

/// The datastore of a control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageSpec {
    /// etcd (pods of its own), kine (a database that exists already) or nats (embedded, experimental; replicas stay as they are).
    #[serde(default)]
    pub r#type: StorageType,
    /// Settings of etcd, for type etcd.
    #[serde(default)]
    pub etcd: EtcdSpec,
    /// Where the database is, for type kine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kine: Option<KineSpec>,
    /// Settings of the embedded NATS JetStream, for type nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<NatsSpec>,
}

/// Kind of datastore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StorageType {
    #[default]
    #[serde(alias = "")]
    Etcd,
    Kine,
    Nats,
}

/// A database that exists already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KineSpec {
    /// Data source, such as postgres://user:password@host/database. It holds a password: prefer dataSourceSecretName.
    #[serde(default, rename = "dataSourceURL", skip_serializing_if = "String::is_empty")]
    pub data_source_url: String,
    /// Secret whose key K0SMOTRON_KINE_DATASOURCE_URL holds the data source; its other keys become variables of k0s' environment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data_source_secret_name: String,
}

/// The embedded NATS JetStream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NatsSpec {
    /// Volume of each member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<VolumeSpec>,
}
