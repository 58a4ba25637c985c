//! Hosts and data that cannot work, all at once beside one that can: each says what is wrong and what helps, none
//! delays another, and all can be deleted.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k0smotron_api::{capi::Cluster, infrastructure::v1beta2::RemoteMachine};
use k0smotron_e2e_plane::manifests;
use kube::{Api, ResourceExt, api::DeleteParams};
use tokio::process::Command;

use crate::{
    progress::{seconds, until},
    testbed::Testbed,
};

/// Further hosts of the testbed that this scenario needs.
pub const HOSTS: [&str; 2] = ["failing", "hanging"];
const NAMESPACE: &str = "bad-input";
/// Longest until each says what is wrong. Nothing here waits for more than a connection.
const SAID_WITHIN: Duration = Duration::from_secs(60);
const DELETED_WITHIN: Duration = Duration::from_secs(120);
const SUCCESS: &str = "mkdir -p /run/cluster-api && touch /run/cluster-api/bootstrap-success.complete";

/// One RemoteMachine, and the reason that its `BootstrapExecSucceeded` or `Ready` has to give.
struct Case {
    name: &'static str,
    address: String,
    /// Further fields of its spec, as YAML in braces.
    spec: &'static str,
    data: &'static str,
    /// As an annotation: the pin of another key.
    pinned: bool,
    reason: Option<&'static str>,
}

impl Case {
    fn new(name: &'static str, address: impl ToString, reason: &'static str) -> Self {
        Self {
            name,
            address: address.to_string(),
            spec: "user: root",
            data: "['true']",
            pinned: false,
            reason: Some(reason),
        }
    }
}

/// See the module's header.
///
/// # Errors
/// With what was not as it should be.
pub async fn run(testbed: &Testbed) -> Result<()> {
    println!("== bad input");
    let network = testbed.network.host().octets();
    let alias = |last: u8| format!("{}.{}.{}.{last}", network[0], network[1], network[2]);
    let failing = testbed.machine(HOSTS[0])?;
    // Several addresses of one host: two RemoteMachines of one address are a case of their own.
    for last in 101..=105 {
        failing
            .exec(&format!("ip address replace {}/24 dev eth0", alias(last)))
            .await?;
    }
    let hanging = testbed.machine(HOSTS[1])?.address();
    let good = Case {
        reason: None,
        ..Case::new("good", testbed.machine("worker")?.address(), "")
    };
    let cases = [
        Case::new("unreachable", alias(250), "HostUnreachable"),
        Case {
            spec: "user: guest, useSudo: true",
            ..Case::new("no-sudo", alias(101), "SudoRefused")
        },
        Case {
            spec: "user: root, sshKeyRef: {name: other-key}",
            ..Case::new("wrong-key", alias(102), "AuthenticationFailed")
        },
        Case {
            spec: "user: root, sshKeyRef: {name: absent}",
            ..Case::new("no-key", alias(103), "SSHKeyNotFound")
        },
        Case {
            pinned: true,
            ..Case::new("changed-host-key", alias(104), "HostKeyChanged")
        },
        Case {
            data: "not a list",
            ..Case::new("malformed", alias(105), "InvalidBootstrapData")
        },
        Case {
            data: "['echo the disk is full >&2; exit 3']",
            ..Case::new("fails", failing.address(), "CommandFailed")
        },
        Case {
            data: "[sleep 1000]",
            ..Case::new("hangs", hanging, "Provisioning")
        },
        good,
    ];

    let client = testbed.plane.client()?;
    let other = unknown_key().await?;
    let begun = Instant::now();
    manifests::apply(&client, &preamble(testbed, &other)?, NAMESPACE).await?;
    for case in &cases {
        manifests::apply(&client, &case.manifests(), NAMESPACE).await?;
    }
    let machines: Api<RemoteMachine> = Api::namespaced(client.clone(), NAMESPACE);
    until(
        "the good host is set up",
        SAID_WITHIN,
        Duration::from_millis(200),
        || async {
            let good = machines.get("good").await?;
            Ok(good
                .status
                .and_then(|status| status.initialization?.provisioned)
                .filter(|done| *done))
        },
    )
    .await?;
    println!("the good host was set up in {}", seconds(begun.elapsed()));
    for case in &cases {
        let Some(reason) = case.reason else { continue };
        let message = until(case.name, SAID_WITHIN, Duration::from_millis(500), || async {
            let machine = machines.get(case.name).await?;
            let conditions = machine.status.map(|status| status.conditions).unwrap_or_default();
            let said = conditions.iter().find(|condition| condition.reason == reason);
            let all: Vec<_> = conditions
                .iter()
                .map(|found| format!("{}={}", found.type_, found.reason))
                .collect();
            said.map(|condition| Some(condition.message.clone()))
                .with_context(|| format!("it says {all:?}"))
        })
        .await?;
        println!("  {}: {reason}: {message}", case.name);
        ensure!(!message.is_empty(), "{} says nothing", case.name);
    }

    let clusters: Api<Cluster> = Api::namespaced(client, NAMESPACE);
    let begun = Instant::now();
    clusters.delete("bad", &DeleteParams::default()).await?;
    until("deletion", DELETED_WITHIN, Duration::from_millis(200), || async {
        let left: Vec<_> = machines
            .list(&Default::default())
            .await?
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        ensure!(left.is_empty(), "left: {left:?}");
        Ok(clusters.get_opt("bad").await?.is_none().then_some(()))
    })
    .await?;
    println!("deleted in {}", seconds(begun.elapsed()));
    Ok(())
}

/// The private key of a pair that no machine knows.
async fn unknown_key() -> Result<String> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("key");
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&file)
        .status()
        .await?;
    ensure!(status.success(), "ssh-keygen: {status}");
    Ok(std::fs::read_to_string(&file)?)
}

fn preamble(testbed: &Testbed, other: &str) -> Result<String> {
    let secret = |name: &str, key: &str| {
        let key = key.trim_end().replace('\n', "\n    ");
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData:\n  value: |\n    {key}\n---\n"
        )
    };
    let key = secret("key", &testbed.key.private()?);
    let other = secret("other-key", other);
    Ok(format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n---\n{key}{other}\
         apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: RemoteCluster\nmetadata: {{name: bad}}\n\
         spec: {{controlPlaneEndpoint: {{host: 127.0.0.1, port: 6443}}}}\n---\n\
         apiVersion: cluster.x-k8s.io/v1beta2\nkind: Cluster\nmetadata: {{name: bad}}\n\
         spec: {{infrastructureRef: {{apiGroup: infrastructure.cluster.x-k8s.io, kind: RemoteCluster, name: bad}}}}\n"
    ))
}

impl Case {
    fn manifests(&self) -> String {
        let Self {
            name,
            address,
            spec,
            data,
            ..
        } = self;
        let key = if spec.contains("sshKeyRef") {
            ""
        } else {
            ", sshKeyRef: {name: key}"
        };
        let annotations = if self.pinned {
            "{k0smotron.io/ssh-host-key: 'ssh-ed25519 SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'}"
        } else {
            "{}"
        };
        let commands = match data.strip_suffix(']') {
            Some(commands) => format!("{commands}, '{SUCCESS}']"),
            None => (*data).to_owned(),
        };
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}-data, labels: {{cluster.x-k8s.io/cluster-name: bad}}}}\n\
             type: cluster.x-k8s.io/secret\nstringData:\n  format: cloud-config\n  value: |\n    #cloud-config\n    runcmd: {commands}\n---\n\
             apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: RemoteMachine\n\
             metadata: {{name: {name}, annotations: {annotations}, labels: {{cluster.x-k8s.io/cluster-name: bad}}}}\n\
             spec: {{address: {address}, {spec}{key}}}\n---\n\
             apiVersion: cluster.x-k8s.io/v1beta2\nkind: Machine\nmetadata: {{name: {name}}}\n\
             spec:\n  clusterName: bad\n  bootstrap: {{dataSecretName: {name}-data}}\n\
             \x20 infrastructureRef: {{apiGroup: infrastructure.cluster.x-k8s.io, kind: RemoteMachine, name: {name}}}\n"
        )
    }
}
