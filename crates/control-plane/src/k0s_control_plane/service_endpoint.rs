//! The Endpoints of the Service `default/kubernetes` in a new workload cluster: where its API server is found.
//!
//! Where the API has an external address, k0s keeps these Endpoints itself, but looks at them every ten seconds only, for
//! the first time ten seconds after its start, and until they are there it has no configuration for workers
//! (k0s v1.36: `apiendpointreconciler.go`, `workerconfig/reconciler.go`). What k0s would write is written here as soon
//! as the API server answers, so that the first workers need not wait for it. Once, and never over what is there: from
//! then on the Endpoints are k0s' alone. Nothing rests on it, so nothing waits for it.

use std::{net::SocketAddr, time::Duration};

use k0smotron_runtime::{Context, workload::ClusterKey};
use k8s_openapi::{
    api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, api::PostParams};

const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";
/// The namespace appears a moment after the API server answers.
const TRIES: usize = 10;
const AGAIN: Duration = Duration::from_millis(100);

/// The Endpoints as k0s writes them.
pub fn endpoints(address: SocketAddr) -> Endpoints {
    let port = EndpointPort {
        name: Some("https".to_owned()),
        protocol: Some("TCP".to_owned()),
        port: i32::from(address.port()),
        ..EndpointPort::default()
    };
    let address = EndpointAddress {
        ip: address.ip().to_string(),
        ..EndpointAddress::default()
    };
    Endpoints {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        subsets: Some(vec![EndpointSubset {
            addresses: Some(vec![address]),
            ports: Some(vec![port]),
            not_ready_addresses: None,
        }]),
    }
}

/// Creates the Endpoints beside the reconcile, unless there are any.
pub fn publish(endpoints: Endpoints, cluster: ClusterKey, context: &Context) {
    let workloads = context.workloads.clone();
    tokio::spawn(async move {
        for _ in 0..TRIES {
            let Ok(client) = workloads.client(&cluster).await else {
                return;
            };
            let api: Api<Endpoints> = Api::namespaced(client, NAMESPACE);
            match api.create(&PostParams::default(), &endpoints).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.is_already_exists() => return,
                Err(error) => {
                    tracing::debug!(cluster = cluster.name, %error, "the API's Endpoints are left to k0s for now");
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
}
