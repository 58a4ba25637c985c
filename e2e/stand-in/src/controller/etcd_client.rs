//! This host's etcd through its JSON gateway: membership and health. etcd serves no one else, so every question
//! about the cluster is asked of the local member.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    api,
    kubeconfig::{LOCAL, certificate_user, render},
    paths::Paths,
    pki,
};

/// A client of the etcd on this host.
#[derive(Clone)]
pub struct EtcdClient(Client);

/// One member of the etcd cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: u64,
    /// Empty until the member has started for the first time.
    pub name: String,
    pub peer_url: String,
    pub is_learner: bool,
}

/// Result of asking etcd to make a learner a voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promotion {
    Promoted,
    /// Somebody else has promoted it.
    AlreadyVoter,
    /// The learner lags behind the leader.
    NotReady,
}

#[derive(Deserialize)]
struct MemberList {
    #[serde(default)]
    members: Vec<GatewayMember>,
}

/// The gateway writes 64-bit numbers as strings and leaves out what is empty or false.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GatewayMember {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "peerURLs")]
    peer_urls: Vec<String>,
    #[serde(default)]
    is_learner: bool,
}

impl TryFrom<GatewayMember> for Member {
    type Error = std::num::ParseIntError;

    fn try_from(member: GatewayMember) -> Result<Self, Self::Error> {
        Ok(Self {
            id: member.id.parse()?,
            name: member.name,
            peer_url: member.peer_urls.into_iter().next().unwrap_or_default(),
            is_learner: member.is_learner,
        })
    }
}

impl EtcdClient {
    /// A client with the API server's certificate. The authority must exist.
    pub async fn new(paths: &Paths) -> Result<Self> {
        let read = |name: &str| {
            let path = paths.pki(name);
            std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
        };
        let identity = pki::Identity {
            certificate: read("apiserver-etcd-client.crt")?,
            key: read("apiserver-etcd-client.key")?,
        };
        let kubeconfig = render(
            &LOCAL,
            "https://127.0.0.1:2379",
            &read("etcd/ca.crt")?,
            &certificate_user(&identity),
        )?;
        Ok(Self(api::client_for(&kubeconfig).await?))
    }

    /// A linearizable read within a second.
    pub async fn is_healthy(&self) -> Result<()> {
        // "health" in base64, the key that etcd's own health check reads.
        timeout(
            Duration::from_secs(1),
            self.post("kv/range", &json!({"key": "aGVhbHRo"})),
        )
        .await??;
        Ok(())
    }

    /// Id of the member on this host.
    pub async fn member_id(&self) -> Result<u64> {
        let status = self.post("maintenance/status", &json!({})).await?;
        let id = status.pointer("/header/member_id").and_then(Value::as_str);
        id.context("etcd's status carries no member id")?
            .parse()
            .context("etcd's member id is no number")
    }

    /// All members, as a quorum knows them.
    pub async fn members(&self) -> Result<Vec<Member>> {
        let list = self
            .post("cluster/member/list", &json!({"linearizable": true}))
            .await?;
        parse_members(list).context("etcd member list failed")
    }

    /// Adds a learner and returns the initial cluster for it, `name=peer URL` per member.
    pub async fn add_learner(&self, name: &str, peer_url: &str) -> Result<Vec<String>> {
        let request = json!({"peerURLs": [peer_url], "isLearner": true});
        let added = self
            .post("cluster/member/add", &request)
            .await
            .context("etcd member add as learner failed")?;
        let id = added
            .pointer("/member/ID")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let members = parse_members(added)?;
        Ok(members
            .into_iter()
            .map(|member| {
                let name = if member.id.to_string() == id {
                    name.to_owned()
                } else {
                    member.name
                };
                format!("{name}={}", member.peer_url)
            })
            .collect())
    }

    pub async fn promote(&self, id: u64) -> Result<Promotion> {
        match self
            .request("cluster/member/promote", &json!({"ID": id.to_string()}))
            .await
        {
            Ok(_) => Ok(Promotion::Promoted),
            Err(kube::Error::Api(status)) if status.message.contains("in sync with leader") => {
                Ok(Promotion::NotReady)
            }
            Err(kube::Error::Api(status)) if status.message.contains("can only promote a learner") => {
                Ok(Promotion::AlreadyVoter)
            }
            Err(error) => Err(error).context("etcd member promotion failed"),
        }
    }

    pub async fn remove(&self, id: u64) -> Result<()> {
        self.post("cluster/member/remove", &json!({"ID": id.to_string()}))
            .await?;
        Ok(())
    }

    /// Removes the member on this host. A connection that breaks meanwhile means that etcd has ended itself.
    pub async fn leave(&self) -> Result<()> {
        let id = timeout(Duration::from_secs(10), self.member_id()).await??;
        let request = json!({"ID": id.to_string()});
        match timeout(
            Duration::from_secs(10),
            self.request("cluster/member/remove", &request),
        )
        .await?
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.message.contains("server stopped") => Ok(()),
            Err(error @ kube::Error::Api(_)) => Err(error).context("failed to remove member"),
            Err(error) => {
                tracing::info!("etcd went away while its member was removed: {error}");
                Ok(())
            }
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        match self.request(path, body).await {
            Ok(value) => Ok(value),
            Err(kube::Error::Api(status)) => bail!("{}", status.message),
            Err(error) => Err(error.into()),
        }
    }

    async fn request(&self, path: &str, body: &Value) -> Result<Value, kube::Error> {
        let request = http::Request::post(format!("/v3/{path}"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes())
            .map_err(kube::Error::HttpError)?;
        self.0.request(request).await
    }
}

fn parse_members(list: Value) -> Result<Vec<Member>> {
    let list: MemberList = serde_json::from_value(list)?;
    Ok(list
        .members
        .into_iter()
        .map(Member::try_from)
        .collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_as_the_gateway_writes_them() {
        let list = json!({"members": [
            {"ID": "10501334649042878790", "name": "m0", "peerURLs": ["https://10.0.0.4:2380"], "clientURLs": []},
            {"ID": "7", "peerURLs": ["https://10.0.0.5:2380"], "isLearner": true},
        ]});
        let members = parse_members(list).unwrap();
        assert_eq!(members[0].id, 10_501_334_649_042_878_790);
        assert_eq!(
            members[1],
            Member {
                id: 7,
                name: String::new(),
                peer_url: "https://10.0.0.5:2380".to_owned(),
                is_learner: true
            }
        );
    }
}
