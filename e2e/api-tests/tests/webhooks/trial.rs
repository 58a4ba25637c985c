//! Objects of Kubernetes inside ours, which the API server is asked about.

use anyhow::{Result, bail, ensure};
use k0smotron_api::conversion::{Version, convert};
use k0smotron_e2e_api_tests::served::{Served, write};
use k8s_openapi::api::{batch::v1::Job, core::v1::PersistentVolumeClaim};
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

fn machine(name: &str, container: Value) -> Value {
    json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2",
        "kind": "RemoteMachine",
        "metadata": { "name": name },
        "spec": {
            "address": "10.0.0.1",
            "provisionJob": {
                "scpCommand": "scp", "sshCommand": "ssh",
                "jobSpecTemplate": { "spec": { "template": { "spec": {
                    "restartPolicy": "Never", "containers": [container],
                } } } },
            },
        },
    })
}

fn cluster(name: &str, modes: Value) -> Value {
    json!({
        "apiVersion": "k0smotron.io/v1beta2",
        "kind": "Cluster",
        "metadata": { "name": name },
        "spec": {
            "version": "v1.36.3-k0s.2",
            "persistence": { "type": "pvc", "persistentVolumeClaim": { "spec": {
                "accessModes": modes, "resources": { "requests": { "storage": "1Gi" } },
            } } },
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_objects_are_what_kubernetes_accepts() -> Result<()> {
    let served = Served::start().await?;
    served.install().await?;
    let manager = served.manager().await?;
    manager.ready().await?;
    let client = served.server.client()?;
    for version in [Version::V1Beta2, Version::V1Beta1] {
        let named = |name: &str| format!("{name}-{}", version.as_str());
        let good = [
            machine(&named("job"), json!({ "name": "provision", "image": "a" })),
            cluster(&named("claim"), json!(["ReadWriteOnce"])),
        ];
        for document in good {
            write(&client, &convert(document, version)?, "default").await?;
        }
        let bad = [
            (
                machine(&named("bad-job"), json!({ "name": "Not a name", "image": "a" })),
                "spec.template.spec.containers[0].name",
            ),
            (
                cluster(&named("bad-claim"), json!(["ReadWriteSometimes"])),
                "spec.accessModes",
            ),
        ];
        for (document, reason) in bad {
            match write(&client, &convert(document.clone(), version)?, "default").await {
                Ok(_) => bail!("{document} is accepted"),
                Err(error) => ensure!(
                    error.to_string().contains(reason),
                    "not refused because of {reason}: {error}"
                ),
            }
        }
    }
    let jobs: Api<Job> = Api::namespaced(client.clone(), "default");
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, "default");
    ensure!(
        jobs.list(&ListParams::default()).await?.items.is_empty()
            && claims.list(&ListParams::default()).await?.items.is_empty(),
        "something was stored"
    );
    Ok(())
}
