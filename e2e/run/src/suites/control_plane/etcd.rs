//! What etcd itself says on a host, by the certificate with which the API server beside it asks.

use anyhow::{Context, Result};
use k0smotron_e2e_machines::Machine;
use serde_json::Value;

/// One member's view: ids of its cluster, of itself and of who leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub cluster: String,
    pub member: String,
    pub leader: String,
}

/// Asks the member on a host. It answers also without a quorum.
///
/// # Errors
/// When none runs there.
pub async fn view(host: &Machine) -> Result<View> {
    let status = ask(host, "maintenance/status").await?;
    let id = |path: &str| {
        let id = status.pointer(path).and_then(Value::as_str);
        id.map(str::to_owned)
            .with_context(|| format!("etcd on {} tells no {path}: {status}", host.name()))
    };
    Ok(View {
        cluster: id("/header/cluster_id")?,
        member: id("/header/member_id")?,
        leader: id("/leader")?,
    })
}

/// How many members there are, as a quorum knows them.
///
/// # Errors
/// When no etcd answers there.
pub async fn members(host: &Machine) -> Result<usize> {
    let list = ask(host, "cluster/member/list").await?;
    let members = list.get("members").and_then(Value::as_array);
    Ok(members.context("etcd tells of no members")?.len())
}

/// How many bytes the database of the member on a host takes.
///
/// # Errors
/// When no etcd answers there.
pub async fn size(host: &Machine) -> Result<u64> {
    let status = ask(host, "maintenance/status").await?;
    let size = status.get("dbSize").and_then(Value::as_str);
    Ok(size.context("etcd tells no dbSize")?.parse()?)
}

/// A call of etcd's JSON gateway.
async fn ask(host: &Machine, call: &str) -> Result<Value> {
    let script = format!(
        "cd /var/lib/k0s/pki && curl -sS --fail --max-time 5 --cacert etcd/ca.crt \
         --cert apiserver-etcd-client.crt --key apiserver-etcd-client.key \
         -d '{{\"linearizable\": true}}' https://127.0.0.1:2379/v3/{call}"
    );
    Ok(serde_json::from_str(&host.exec(&script).await?)?)
}
