//! A real API server behind the load balancer, beside a server that is not there: the checks choose the right one, the
//! probe finds a gap that is there and none that is not, and the writer finds what was taken from it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail anywhere")]

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use k0smotron_e2e_endpoint::{Check, LoadBalancer, Probe, Service, Writer, identity};
use k0smotron_e2e_plane::{ApiServer, Options};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client, Config};
use tokio::time::{Instant, sleep};

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn until_ready(config: &Config) {
    let client = Client::try_from(config.clone()).unwrap();
    let begin = Instant::now();
    while client.apiserver_version().await.is_err() {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "no answer through the load balancer"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_and_losses_are_found_and_no_others() {
    let server = ApiServer::start(&Options::default()).await.unwrap();
    let kubeconfig = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let uri = server.config().cluster_url;
    let alive = SocketAddr::from(([127, 0, 0, 1], uri.port_u16().unwrap()));
    let service = Service {
        name: "api",
        listen: free_address(),
        servers: vec![free_address(), alive],
    };
    let mut config = server.config();
    config.cluster_url = format!("https://{}", service.listen).parse().unwrap();

    // Checked by a plain connection, then with a certificate; without one the API server would refuse to answer.
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().join("load-balancer");
    let balancer = LoadBalancer::start_at(&directory, vec![service.clone()], Check::Tcp)
        .await
        .unwrap();
    until_ready(&config).await;
    let identity = identity(&kubeconfig).unwrap();
    balancer
        .check_with(Check::Readyz { identity: &identity })
        .await
        .unwrap();
    sleep(Duration::from_secs(1)).await;
    until_ready(&config).await;
    assert!(
        balancer
            .check_with(Check::Readyz { identity: "none" })
            .await
            .is_err()
    );
    balancer
        .check_with(Check::Readyz { identity: &identity })
        .await
        .unwrap();
    sleep(Duration::from_secs(1)).await;

    let client = server.client().unwrap();
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some("writes".to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();

    // Nothing happens, and nothing is found.
    let probe = Probe::start(config.clone()).unwrap();
    let writer = Writer::start(config.clone(), "writes", "calm", 20).unwrap();
    sleep(Duration::from_secs(4)).await;
    let (calm, written) = (probe.finish().await.unwrap(), writer.finish().await.unwrap());
    assert_eq!(calm.failed, 0, "{calm:?}");
    assert!(
        calm.answered > 20 && calm.longest_gap < Duration::from_millis(900),
        "{calm:?}"
    );
    assert_eq!(written.failed, 0);
    assert!(written.acknowledged() >= 70, "{}", written.acknowledged());
    assert_eq!(written.lost(client.clone()).await.unwrap(), Vec::<String>::new());

    // The endpoint is away for a while.
    let probe = Probe::start(config.clone()).unwrap();
    let writer = Writer::start(config.clone(), "writes", "storm", 20).unwrap();
    sleep(Duration::from_secs(1)).await;
    balancer.end().await.unwrap();
    assert!(!directory.exists());
    sleep(Duration::from_millis(3000)).await;
    let check = Check::Readyz { identity: &identity };
    let balancer = LoadBalancer::start_at(&directory, vec![service], check)
        .await
        .unwrap();
    until_ready(&config).await;
    sleep(Duration::from_secs(1)).await;
    let (storm, written) = (probe.finish().await.unwrap(), writer.finish().await.unwrap());
    assert!(storm.failed > 0 && !storm.errors.is_empty(), "{storm:?}");
    assert!(storm.longest_gap >= Duration::from_millis(2900), "{storm:?}");
    assert_eq!(
        storm.gaps.iter().map(|(_, gap)| *gap).max(),
        Some(storm.longest_gap)
    );
    assert!(written.failed > 0);
    assert_eq!(written.lost(client.clone()).await.unwrap(), Vec::<String>::new());

    // What is taken away is missed.
    let writes: Api<ConfigMap> = Api::namespaced(client.clone(), "writes");
    writes
        .delete("storm-00000003", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(written.lost(client).await.unwrap(), ["storm-00000003"]);
    balancer.end().await.unwrap();
}
