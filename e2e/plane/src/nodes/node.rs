//! The node of a management cluster: what a machine needs before k0s starts there, and its volumes.

use anyhow::{Context, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k0smotron_e2e_machines::Machine;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use serde_json::json;

use crate::manifests;

/// What every hosted control plane's etcd members need together; a volume is used once.
const VOLUMES: usize = 96;
/// A real directory, not the machine's overlay.
const VOLUME_DIRECTORY: &str = "/var/lib/k0s/volumes";

pub(super) const CONTAINERD_ANSWERS: &str =
    "ctr --address /run/k0s/containerd.sock --namespace k8s.io images list -q >/dev/null";

/// A bare k0s takes kube-apiserver and so on from PATH. `--profile`: this kernel has cgroups of version 1. Without
/// konnectivity the API server dials the kubelet itself; the rest is not needed.
const K0S_FLAGS: &str = "--enable-worker --no-taints --profile=v1 --ignore-pre-flight-checks \
    --disable-components=metrics-server,konnectivity-server,autopilot,helm";

const K0S_CONFIG: &str = include_str!("k0s.yaml");

/// A resolver that answers, if only that there is no such name: CoreDNS forwards what it does not know, and without an
/// answer look-ups in pods stall. It is not asked on loopback, or CoreDNS would take it for itself.
const RESOLVER_CONFIG: &str = ". {
    template ANY ANY {
        rcode NXDOMAIN
    }
}
";
const RESOLVER_UNIT: &str = "[Unit]
Description=A resolver that knows no name

[Service]
ExecStart=/usr/local/bin/coredns -conf /etc/resolver/Corefile
Restart=always

[Install]
WantedBy=multi-user.target
";

/// Whether [`set_up`] has been here.
pub(super) async fn is_set_up(machine: &Machine) -> Result<bool> {
    Ok(machine
        .try_exec("systemctl is-active k0scontroller")
        .await?
        .success())
}

/// Prepares the machine and starts k0s, which must lie there already.
pub(super) async fn set_up(machine: &Machine) -> Result<()> {
    let address = machine.address().to_string();
    let script = format!(
        "set -e
mkdir -p /etc/resolver
cat >/etc/resolver/Corefile <<'END'
{RESOLVER_CONFIG}END
cat >/etc/systemd/system/resolver.service <<'END'
{RESOLVER_UNIT}END
systemctl daemon-reload
systemctl enable --now resolver.service
echo 'nameserver {address}' >/etc/resolv.conf
for number in $(seq 0 {}); do mkdir -p {VOLUME_DIRECTORY}/$number; done
cat >/etc/k0s/k0s.yaml <<'END'
{}END
k0s install controller --force --config=/etc/k0s/k0s.yaml {K0S_FLAGS}
k0s start
",
        VOLUMES - 1,
        K0S_CONFIG.replace("ADDRESS", &address),
    );
    machine
        .exec(&script)
        .await
        .map(drop)
        .context("cannot set up the management node")
}

/// A default StorageClass and the volumes for it: directories of the node. Local volumes, because unlike hostPath ones
/// they are given to the group of a pod that is not root.
pub(super) async fn provide_volumes(client: &Client, machine: &Machine) -> Result<()> {
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "local",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "Immediate",
    });
    manifests::apply(client, &class.to_string(), "").await?;
    stream::iter(0..VOLUMES)
        .map(|number| {
            let volume = json!({
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": format!("local-{number}")},
                "spec": {
                    "storageClassName": "local",
                    "capacity": {"storage": "10Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "local": {"path": format!("{VOLUME_DIRECTORY}/{number}")},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{
                        "key": "kubernetes.io/hostname",
                        "operator": "In",
                        "values": [machine.hostname()],
                    }]}]}},
                },
            });
            async move { manifests::apply(client, &volume.to_string(), "").await }
        })
        .buffer_unordered(8)
        .try_for_each(|_| async { Ok(()) })
        .await
}

/// Whether the node says so.
pub(super) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
