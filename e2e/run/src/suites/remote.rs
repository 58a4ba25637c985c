//! Hosts that are not easy to reach: behind a jump host, with a sudo that wants a password; and one that is somebody else
//! when it comes back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k0smotron_api::{
    infrastructure::v1beta2::{PooledRemoteMachine, RemoteMachine},
    names::annotations,
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

use super::{delete, with_testbed};
use crate::{
    cluster::WorkloadCluster,
    progress::{seconds, until},
    quickstart::{self, HOSTS},
    testbed::Testbed,
};

/// The host that the others are behind.
const BASTION: &str = "bastion";
const PASSWORD: &str = "correct horse battery staple";
/// Longest until a host that is not the one it was is told.
const SAID_WITHIN: Duration = Duration::from_secs(120);

/// The whole suite.
///
/// # Errors
/// With what was not as it should be.
pub async fn all() -> Result<()> {
    let [controller, worker] = HOSTS;
    with_testbed(&[controller, worker, BASTION], async |testbed| {
        hide(testbed).await?;
        behind_a_jump_host(testbed).await?;
        with_a_changed_key(testbed).await?;
        println!("passed: 2 passed, 0 failed");
        Ok(())
    })
    .await
}

/// From here on the two hosts let nobody in who comes from the management cluster, and their sudo wants a password.
async fn hide(testbed: &Testbed) -> Result<()> {
    for host in HOSTS {
        let script = format!(
            "echo 'admin:{PASSWORD}' | chpasswd\n\
             printf 'admin ALL=(ALL) ALL\\n' >/etc/sudoers.d/admin\n\
             printf 'Match Address {}\\n  DenyUsers *\\n' >/etc/ssh/sshd_config.d/hidden.conf\n\
             systemctl reload ssh",
            testbed.network.host()
        );
        testbed.machine(host)?.exec(&script).await?;
    }
    Ok(())
}

/// The cluster of quickstart, whose hosts are reached as `admin` through the jump host. Only that one is known beforehand.
async fn manifests(testbed: &Testbed, cluster: &WorkloadCluster<'_>) -> Result<String> {
    let bastion = testbed.machine(BASTION)?;
    let listed = bastion
        .exec("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
        .await?;
    let fingerprint = listed
        .split(' ')
        .nth(1)
        .context("ssh-keygen printed no fingerprint")?;
    let name = &cluster.name;
    let way = format!(
        "    user: admin\n\
         \x20   elevation: {{method: sudo, passwordRef: {{name: {name}-passwords, key: admin}}}}\n\
         \x20   jumpHosts:\n\
         \x20   - address: {}\n\
         \x20     user: guest\n\
         \x20     hostKeys: {{fingerprints: ['{fingerprint}']}}\n",
        bastion.address()
    );
    let plain = quickstart::manifests(testbed, name).await?;
    let hidden = plain.replace("    user: root\n", &way);
    ensure!(
        hidden.matches("jumpHosts:").count() == 2,
        "the template has changed"
    );
    Ok(format!(
        "{hidden}\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}-passwords}}\nstringData: {{admin: {PASSWORD}}}\n"
    ))
}

async fn behind_a_jump_host(testbed: &Testbed) -> Result<()> {
    println!("== hosts behind a jump host, with a sudo that wants a password");
    let cluster = WorkloadCluster::new(testbed, "remote")?;
    let manifests = manifests(testbed, &cluster).await?;
    let timeline = cluster.create(&manifests, 1, |line| println!("  {line}")).await?;
    println!("worker Ready {}", seconds(timeline.node_ready));
    cluster.wait_until_running(1).await?;
    for host in HOSTS {
        let way = testbed
            .machine(host)?
            .exec("journalctl -b -u ssh -o cat | grep 'Accepted publickey for admin'")
            .await?;
        let bastion = format!(" from {} ", testbed.machine(BASTION)?.address());
        ensure!(
            way.lines().all(|line| line.contains(&bastion)),
            "{host} was reached directly: {way}"
        );
    }
    delete(testbed, &cluster).await
}

/// The worker's host is installed again between two clusters: it is not touched before somebody says that it is right.
async fn with_a_changed_key(testbed: &Testbed) -> Result<()> {
    println!("== a host whose key changed");
    let [_, worker] = HOSTS;
    let new_keys = "rm /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null; systemctl restart ssh";
    testbed.machine(worker)?.exec(new_keys).await?;
    // The entries of the pool are those of the first cluster: they know the host.
    let cluster = WorkloadCluster::new(testbed, "remote")?;
    let manifests = manifests(testbed, &cluster).await?;
    let (created, accepted) = tokio::join!(
        cluster.create(&manifests, 1, |line| println!("  {line}")),
        accept_new_key(testbed, &cluster)
    );
    accepted?;
    println!("worker Ready {}", seconds(created?.node_ready));
    delete(testbed, &cluster).await
}

/// Waits until a machine says that its host is another one, and does what it says.
async fn accept_new_key(testbed: &Testbed, cluster: &WorkloadCluster<'_>) -> Result<()> {
    let client = testbed.plane.client()?;
    let machines: Api<RemoteMachine> = Api::namespaced(client.clone(), &cluster.namespace);
    let message = until(
        "the changed key is told",
        SAID_WITHIN,
        Duration::from_millis(200),
        || async {
            let all = machines.list(&ListParams::default()).await?;
            let mut said = all
                .iter()
                .flat_map(|machine| machine.status.iter().flat_map(|status| &status.conditions));
            Ok(said
                .find(|condition| condition.reason == "HostKeyChanged")
                .map(|condition| condition.message.clone()))
        },
    )
    .await?;
    println!("  {message}");
    let entry = format!("{}-worker", cluster.name);
    let remedy = format!(
        "remove the annotation {} from PooledRemoteMachine {entry}",
        annotations::SSH_HOST_KEY
    );
    ensure!(message.contains(&remedy), "it does not say how to go on");
    // Where everything begins that is done to a host.
    let begun = "ls -d /var/lib/k0smotron 2>/dev/null || true";
    let touched = testbed.machine(HOSTS[1])?.exec(begun).await?;
    ensure!(touched.trim().is_empty(), "the host was touched: {touched}");
    let entries: Api<PooledRemoteMachine> = Api::namespaced(client, &cluster.namespace);
    let patch = json!({ "metadata": { "annotations": { annotations::SSH_HOST_KEY: null } } });
    entries
        .patch_metadata(&entry, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}
