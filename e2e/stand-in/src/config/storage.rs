//! `spec.storage`: etcd on the controllers or elsewhere, or kine over a database.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::paths::DEFAULT_DATA_DIR;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Storage {
    #[serde(rename = "type")]
    pub kind: String,
    pub etcd: Etcd,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kine: Option<Kine>,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            kind: "etcd".to_owned(),
            etcd: Etcd::default(),
            kine: None,
        }
    }
}

impl Storage {
    /// What a single controller without a `storage` section gets: kine over SQLite in its data directory.
    pub fn of_single_controller(data_dir: &Path) -> Value {
        json!({"type": "kine", "kine": {"dataSource": sqlite_in(data_dir)}})
    }

    pub fn is_kine(&self) -> bool {
        self.kind == "kine"
    }

    /// kine's settings. Like k0s, it takes the default data directory whatever `--data-dir` says.
    pub fn kine(&self) -> Kine {
        let mut kine = self.kine.clone().unwrap_or_default();
        if kine.data_source.is_empty() {
            kine.data_source = sqlite_in(Path::new(DEFAULT_DATA_DIR));
        }
        kine
    }

    /// The etcd that runs elsewhere, when that is what is configured.
    pub fn external_etcd(&self) -> Option<&ExternalCluster> {
        self.etcd.external_cluster.as_ref().filter(|_| !self.is_kine())
    }

    /// Whether this controller runs a member of etcd.
    pub fn runs_etcd(&self) -> bool {
        !self.is_kine() && self.external_etcd().is_none()
    }

    /// Whether another controller can share this storage: etcd grows, a file does not, a database server may.
    pub fn is_joinable(&self) -> bool {
        if !self.is_kine() {
            return true;
        }
        match self.kine().data_source.split_once("://") {
            Some(("nats", rest)) => rest.split_once('?').is_some_and(|(_, query)| {
                query
                    .split('&')
                    .any(|pair| pair.split('=').next() == Some("noEmbed"))
            }),
            Some((backend, _)) => backend != "sqlite",
            None => false,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        match self.kind.as_str() {
            "etcd" => self
                .etcd
                .external_cluster
                .as_ref()
                .map_or(Ok(()), ExternalCluster::validate),
            "kine" => Ok(()),
            "" => bail!("spec: storage: type: Required value"),
            other => bail!(
                "spec: storage: type: Unsupported value: {other:?}: supported values: \"etcd\", \"kine\""
            ),
        }
    }
}

fn sqlite_in(data_dir: &Path) -> String {
    format!(
        "sqlite://file:{}?mode=rwc&_journal=WAL",
        data_dir.join("db/state.db").display()
    )
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Etcd {
    pub peer_address: String,
    pub extra_args: BTreeMap<String, String>,
    pub raw_args: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_cluster: Option<ExternalCluster>,
}

/// An etcd that somebody else runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalCluster {
    /// Client URLs.
    pub endpoints: Vec<String>,
    /// First part of every key.
    pub etcd_prefix: String,
    pub ca_file: String,
    pub client_cert_file: String,
    pub client_key_file: String,
}

impl ExternalCluster {
    /// With TLS by its three files, or without; k0s has nothing in between.
    pub fn has_tls(&self) -> bool {
        self.tls_files().iter().all(|file| !file.is_empty())
    }

    fn tls_files(&self) -> [&String; 3] {
        [&self.ca_file, &self.client_cert_file, &self.client_key_file]
    }

    fn validate(&self) -> Result<()> {
        let field = "spec.storage.etcd.externalCluster";
        if self.endpoints.is_empty() {
            bail!("{field}.endpoints cannot be null or empty");
        }
        if self.endpoints.iter().any(String::is_empty) {
            bail!("{field}.endpoints cannot contain empty strings");
        }
        if self.etcd_prefix.is_empty() {
            bail!("{field}.etcdPrefix cannot be empty");
        }
        if !self.has_tls() && self.tls_files().iter().any(|file| !file.is_empty()) {
            bail!(
                "{field} is invalid: all TLS properties [caFile,clientCertFile,clientKeyFile] must be defined or \
                 none of those"
            );
        }
        Ok(())
    }
}

impl Default for Etcd {
    fn default() -> Self {
        Self {
            peer_address: crate::net::first_public_address(),
            extra_args: BTreeMap::new(),
            raw_args: Vec::new(),
            external_cluster: None,
        }
    }
}

impl Etcd {
    pub fn peer_url(&self) -> String {
        format!("https://{}", crate::net::host_port(&self.peer_address, 2380))
    }

    /// Name of this host's member: `extraArgs.name`, or the host name.
    pub fn member_name(&self) -> Result<String> {
        match self.extra_args.get("name").filter(|name| !name.is_empty()) {
            Some(name) => Ok(name.clone()),
            None => crate::net::host_name(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Kine {
    /// `<backend>://…` as kine reads it.
    pub data_source: String,
    pub extra_args: BTreeMap<String, String>,
    pub raw_args: Vec<String>,
}

impl Kine {
    /// The database file, when the data source is one.
    pub fn sqlite_file(&self) -> Option<&str> {
        let rest = self.data_source.strip_prefix("sqlite://")?;
        let path = rest.strip_prefix("file:").unwrap_or(rest);
        let path = path.split('?').next().unwrap_or_default();
        (!path.is_empty()).then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kine(data_source: &str) -> Storage {
        serde_json::from_value(json!({"type": "kine", "kine": {"dataSource": data_source}})).unwrap()
    }

    #[test]
    fn an_etcd_elsewhere_needs_endpoints_a_prefix_and_all_or_nothing_of_tls() {
        let storage = |external: Value| -> Storage {
            serde_json::from_value(json!({"etcd": {"externalCluster": external}})).unwrap()
        };
        let whole = storage(json!({
            "endpoints": ["https://etcd:2379"], "etcdPrefix": "c",
            "caFile": "/ca", "clientCertFile": "/crt", "clientKeyFile": "/key",
        }));
        whole.validate().unwrap();
        assert!(whole.external_etcd().unwrap().has_tls() && !whole.runs_etcd() && whole.is_joinable());
        for broken in [
            json!({"etcdPrefix": "c"}),
            json!({"endpoints": ["http://e:2379"]}),
            json!({"endpoints": ["http://e:2379"], "etcdPrefix": "c", "caFile": "/ca"}),
        ] {
            assert!(storage(broken.clone()).validate().is_err(), "{broken}");
        }
    }

    #[test]
    fn only_what_others_can_reach_can_be_joined() {
        assert!(Storage::default().is_joinable());
        assert!(kine("mysql://k0s@tcp(db:3306)/kine").is_joinable());
        assert!(kine("nats://?noEmbed").is_joinable());
        for alone in [
            "",
            "sqlite://file:/srv/state.db",
            "nats://",
            "nats://?bucket=noEmbed",
        ] {
            assert!(!kine(alone).is_joinable(), "{alone}");
        }
    }

    #[test]
    fn the_default_of_kine_is_a_file_in_the_default_data_directory() {
        let kine = kine("").kine();
        assert_eq!(
            kine.data_source,
            "sqlite://file:/var/lib/k0s/db/state.db?mode=rwc&_journal=WAL"
        );
        assert_eq!(kine.sqlite_file(), Some("/var/lib/k0s/db/state.db"));
    }
}
