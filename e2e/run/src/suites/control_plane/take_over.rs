//! A cluster that another operator made goes on under ours, and under the other again: nothing is replaced, nothing is
//! restarted, and nobody writes into what the user wrote.
//!
//! The other operator is `UPSTREAM_OPERATOR`; without it there is nothing to take over, and this is no part of the suite.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result};
use k0smotron_api::control_plane::v1beta2::{K0sControlPlane, UpdateStrategy};
use k0smotron_e2e_plane::{managers, other_operator};
use kube::Api;

use super::{
    any_operator::{AnyOperators, Request},
    delete,
    plane::holds,
    standing::{Standing, standing, unchanged},
};
use crate::{
    progress::step,
    testbed::{self, Testbed},
};

/// Long enough for each of them to look at everything more than once.
const LOOKED_AT: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);
/// One controller with a worker, then three.
///
/// # Errors
/// With what was replaced, restarted or written.
pub async fn goes_on_under_ours(testbed: &Testbed, hosts: &[&str; 4]) -> Result<()> {
    let other =
        testbed::other_operator().context("UPSTREAM_OPERATOR says which operator to take over from")?;
    let [controllers @ .., worker] = hosts;
    testbed.install_k0s().await?;
    // There is no host for a fourth controller.
    let of_three = UpdateStrategy::RecreateDeleteFirst;
    for (name, count, strategy) in [
        ("one-taken", 1, UpdateStrategy::InPlace),
        ("three-taken", 3, of_three),
    ] {
        println!("== {count} controllers of another operator are taken over and handed back");
        operate_with_other(testbed, &other).await?;
        let request = Request {
            name,
            hosts: controllers,
            controllers: count,
            worker: Some(*worker),
            strategy,
        };
        let made = AnyOperators::create(testbed, &request).await?;
        // Its last steps come after the last thing that can be seen.
        tokio::time::sleep(LOOKED_AT).await;
        let before = standing(testbed, &made.cluster).await?;
        println!("  {} things stand", before.len());

        step(
            "our managers",
            managers::start(&testbed.plane, &testbed::manager_binary()?),
        )
        .await?;
        until_ours_says(testbed, &made, count).await?;
        stays(testbed, &made, &before, "taken over").await?;

        operate_with_other(testbed, &other).await?;
        stays(testbed, &made, &before, "handed back").await?;

        step(
            "our managers",
            managers::start(&testbed.plane, &testbed::manager_binary()?),
        )
        .await?;
        until_ours_says(testbed, &made, count).await?;
        unchanged(
            &before,
            &standing(testbed, &made.cluster).await?,
            "taken over again",
        )?;
        let _took = made.roll("rolled-by-ours").await?;
        delete(testbed, &made.cluster).await?;
        made.balancer.end().await?;
    }
    Ok(())
}

async fn operate_with_other(testbed: &Testbed, other: &Path) -> Result<()> {
    step("other operator", other_operator::start(&testbed.plane, other))
        .await
        .map(drop)
}

/// Waits until our controller has looked at it: only ours says these.
async fn until_ours_says(testbed: &Testbed, made: &AnyOperators<'_>, controllers: usize) -> Result<()> {
    let planes: Api<K0sControlPlane> = Api::namespaced(testbed.plane.client()?, &made.cluster.namespace);
    let mut wanted = vec![
        ("Available", "True"),
        ("Ready", "True"),
        ("CertificatesAvailable", "True"),
    ];
    if controllers > 1 {
        wanted.push(("EtcdClusterHealthy", "True"));
    }
    let said = made.cluster.until("our conditions", LIMIT, PAUSE, || async {
        let status = planes.get(&made.cluster.name).await?.status.unwrap_or_default();
        let all = wanted.iter().all(|(type_, value)| holds(&status, type_, value));
        Ok(all.then_some(()))
    });
    said.await
}

/// Watches for a while; nothing may change. Says who wrote what meanwhile.
async fn stays(testbed: &Testbed, made: &AnyOperators<'_>, before: &Standing, what: &str) -> Result<()> {
    let mark = testbed.plane.audit().mark()?;
    tokio::time::sleep(LOOKED_AT).await;
    let mut written: BTreeMap<String, usize> = BTreeMap::new();
    for write in testbed.plane.audit().since(mark)? {
        let object = write.object_ref.unwrap_or_default();
        if object.resource != "leases" {
            let agent = write.user_agent.unwrap_or_default();
            let agent = agent.split('/').next().unwrap_or_default();
            let key = format!(
                "{agent} {} {}/{}",
                write.verb, object.resource, object.subresource
            );
            *written.entry(key).or_default() += 1;
        }
    }
    unchanged(before, &standing(testbed, &made.cluster).await?, what)?;
    println!("  {what}: nothing replaced, nothing restarted; written in {LOOKED_AT:?}: {written:?}");
    Ok(())
}
