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

/// Whether what the member on a host sends to others arrives, as far as its kernel knows: what was sent into a network that is
/// away is sent again after longer and longer times, up to two minutes, also when the network is back long since, and
/// etcd lets its connections wait for that. Members that know of each other through a leader do not show it; without the
/// leader they cannot elect another one until then.
///
/// # Errors
/// When the host does not answer.
pub async fn is_heard(host: &Machine) -> Result<bool> {
    let waiting =
        "ss -tinH state established '( sport = :2380 or dport = :2380 )' | grep -c ' backoff:' || true";
    Ok(host.exec(waiting).await?.trim() == "0")
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
