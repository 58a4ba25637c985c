//! JoinTokenRequests against a real API server, which is the hosted control plane's too: what its tokens let in it decides
//! itself.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, net::SocketAddr, time::Instant};

use anyhow::{Context as _, Result, ensure};
use k0smotron_api::k0smotron::v1beta2::{Cluster, JoinTokenRequest};
use k0smotron_e2e_api_tests::served::{self, apply, namespace, until};
use k0smotron_e2e_plane::{ApiServer, Options};
use k0smotron_k0s::token::JoinToken;
use k0smotron_runtime::{Context, Scope, dial::Dialer};
use k8s_openapi::api::{authentication::v1::SelfSubjectReview, core::v1::Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

const NAMESPACE: &str = "fleet";
const CLUSTER: &str = "k0smotron.io/v1beta2";

struct World {
    server: ApiServer,
    client: Client,
}

impl World {
    async fn start() -> Result<Self> {
        let server = served::without_webhooks(&Options {
            arguments: vec!["--enable-bootstrap-token-auth=true".to_owned()],
            ..Options::default()
        })
        .await?;
        let client = server.client()?;
        namespace(&client, NAMESPACE).await?;
        namespace(&client, "team").await?;
        let context = Context::new(client.clone(), Scope::default(), "test");
        let port = server.config().cluster_url.port_u16().context("no port")?;
        let pods = Dialer::to_address(client.clone(), SocketAddr::from(([127, 0, 0, 1], port)));
        tokio::spawn(k0smotron_hosted::join_token_request::run(Context {
            pods,
            ..context
        }));
        Ok(Self { server, client })
    }

    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Makes the Cluster, with a finalizer as its controller would, and its kubeconfig.
    async fn cluster(&self) -> Result<()> {
        let cluster = json!({
            "apiVersion": CLUSTER, "kind": "Cluster",
            "metadata": { "name": "basic", "finalizers": ["k0smotron.io/finalizer"] },
            "spec": { "service": { "type": "NodePort" } },
        });
        apply(&self.client, &cluster, NAMESPACE, "test").await?;
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {
                "name": "basic-kubeconfig",
                "labels": { "app.kubernetes.io/component": "kubeconfig" },
            },
            "stringData": { "value": fs::read_to_string(self.server.kubeconfig())? },
        }))?;
        self.api::<Secret>(NAMESPACE)
            .create(&PostParams::default(), &secret)
            .await?;
        Ok(())
    }

    async fn available(&self, status: &str) -> Result<()> {
        let condition = json!({
            "type": "Available", "status": status, "reason": "Test", "message": "says the test",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let patch = Patch::Merge(json!({ "status": { "conditions": [condition] } }));
        let clusters: Api<Cluster> = self.api(NAMESPACE);
        clusters
            .patch_status("basic", &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    async fn request(&self, namespace: &str, name: &str, expiry: &str, metadata: Value) -> Result<()> {
        let mut request = json!({
            "apiVersion": CLUSTER, "kind": "JoinTokenRequest",
            "metadata": { "name": name },
            "spec": { "clusterName": "basic", "expiry": expiry },
        });
        request["metadata"]
            .as_object_mut()
            .unwrap()
            .extend(metadata.as_object().unwrap().clone());
        apply(&self.client, &request, namespace, "test").await?;
        Ok(())
    }

    /// Waits until the request's condition has this reason.
    async fn reason(&self, namespace: &str, name: &str, reason: &str) -> Result<JoinTokenRequest> {
        let requests: Api<JoinTokenRequest> = self.api(namespace);
        until(&format!("{name} says {reason}"), async || {
            let request = requests.get(name).await?;
            let conditions = request.status.iter().flat_map(|status| &status.conditions);
            let said = conditions
                .filter(|condition| condition.type_ == "JoinTokenSecretCreated")
                .any(|condition| condition.reason == reason);
            Ok(said.then_some(request))
        })
        .await
    }

    /// Waits for a join token of the request that is not this one.
    async fn token(
        &self,
        namespace: &str,
        name: &str,
        not: Option<&JoinToken>,
    ) -> Result<(Secret, JoinToken)> {
        let secrets: Api<Secret> = self.api(namespace);
        until(&format!("{name} has a token"), async || {
            let Some(secret) = secrets.get_opt(name).await? else {
                return Ok(None);
            };
            let text = k0smotron_runtime::secrets::text(&secret, "token").unwrap_or_default();
            let token = JoinToken::parse(&text)?;
            let new = not.is_none_or(|not| not.token.id() != token.token.id());
            Ok(new.then_some((secret, token)))
        })
        .await
    }

    /// Whom the API server takes for the holder of a token; `None` if it lets nobody in.
    async fn user(&self, token: &JoinToken) -> Result<Option<String>> {
        let mut config = self.server.config();
        config.auth_info.client_certificate_data = None;
        config.auth_info.client_key_data = None;
        config.auth_info.token = Some(token.token.value());
        let reviews: Api<SelfSubjectReview> = Api::all(Client::try_from(config)?);
        match reviews
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await
        {
            Ok(review) => Ok(review.status.and_then(|status| status.user_info?.username)),
            Err(kube::Error::Api(status)) if status.code == 401 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the API server, which has tokens in a cache, lets their holder in, or not any more.
    async fn lets_in(&self, token: &JoinToken, wanted: bool) -> Result<()> {
        let user = format!("system:bootstrap:{}", token.token.id());
        let expected = wanted.then_some(user);
        until("the API server knows the token", async || {
            Ok((self.user(token).await? == expected).then_some(()))
        })
        .await
    }

    async fn tokens(&self) -> Result<usize> {
        let secrets: Api<Secret> = self.api("kube-system");
        let all = secrets.list(&ListParams::default()).await?;
        Ok(all
            .iter()
            .filter(|secret| secret.name_any().starts_with("bootstrap-token-"))
            .count())
    }

    async fn gone(&self, namespace: &str, name: &str) -> Result<()> {
        let requests: Api<JoinTokenRequest> = self.api(namespace);
        until(&format!("{name} is gone"), async || {
            Ok(requests.get_opt(name).await?.is_none().then_some(()))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_a_token_as_long_as_it_is_there() -> Result<()> {
    let world = World::start().await?;
    let requests: Api<JoinTokenRequest> = world.api(NAMESPACE);
    let secrets: Api<Secret> = world.api(NAMESPACE);

    world
        .request(NAMESPACE, "workers", "3h", json!({ "labels": { "team": "a" } }))
        .await?;
    world.reason(NAMESPACE, "workers", "ClusterNotFound").await?;
    world.cluster().await?;
    world.reason(NAMESPACE, "workers", "WaitingForCluster").await?;
    ensure!(secrets.get_opt("workers").await?.is_none());
    let begun = Instant::now();
    world.available("True").await?;
    let (secret, token) = world.token(NAMESPACE, "workers", None).await?;
    eprintln!(
        "    the Cluster answers, and {:?} later there is a token",
        begun.elapsed()
    );

    ensure!(token.server == format!("{}", world.server.config().cluster_url).trim_end_matches('/'));
    ensure!(token.user == "kubelet-bootstrap");
    world.lets_in(&token, true).await?;
    let labels = [
        "app.kubernetes.io/component",
        "k0smotron.io/cluster",
        "k0smotron.io/role",
        "k0smotron.io/token-request",
        "team",
    ];
    let said: Vec<_> = labels
        .iter()
        .map(|label| secret.labels()[*label].as_str())
        .collect();
    ensure!(
        said == ["jointoken", "basic", "worker", "workers", "a"],
        "{said:?}"
    );
    let request = world.reason(NAMESPACE, "workers", "Created").await?;
    ensure!(secret.owner_references()[0].uid == request.uid().unwrap());
    ensure!(request.owner_references()[0].kind == "Cluster");
    ensure!(request.status.as_ref().unwrap().token_id.as_deref() == Some(token.token.id()));
    let status = serde_json::to_string(&request.status)?;
    ensure!(
        !status.contains(token.token.secret().expose_secret()),
        "the status tells the secret"
    );

    // The Secret comes back with the same token, and so do its contents.
    secrets.delete("workers", &DeleteParams::default()).await?;
    let (_, again) = world.token(NAMESPACE, "workers", None).await?;
    ensure!(again.token.id() == token.token.id(), "another token was made");
    let emptied = Patch::Merge(json!({ "data": { "token": "" } }));
    secrets
        .patch("workers", &PatchParams::default(), &emptied)
        .await?;
    until("the token is back", async || {
        let text = k0smotron_runtime::secrets::text(&secrets.get("workers").await?, "token");
        Ok(JoinToken::parse(&text.unwrap_or_default()).ok())
    })
    .await?;

    // Two hours are less than the three that the token has: it would let in for too long.
    world.request(NAMESPACE, "workers", "2h", json!({})).await?;
    let (_, shorter) = world.token(NAMESPACE, "workers", Some(&token)).await?;
    world.lets_in(&token, false).await?;
    world.lets_in(&shorter, true).await?;
    // A longer expiry is no reason to make another one.
    world.request(NAMESPACE, "workers", "150m", json!({})).await?;
    until("the request was looked at", async || {
        let request = requests.get("workers").await?;
        let observed = request.status.and_then(|status| status.observed_generation);
        Ok((observed == request.metadata.generation).then_some(()))
    })
    .await?;
    ensure!(world.token(NAMESPACE, "workers", None).await?.1.token.id() == shorter.token.id());

    // Nobody is let in by the token of a request that is gone, which waits for that.
    world.available("False").await?;
    requests.delete("workers", &DeleteParams::default()).await?;
    until("the request says what it waits for", async || {
        let request = requests.get("workers").await?;
        let conditions = request.status.unwrap_or_default().conditions;
        Ok(conditions
            .iter()
            .any(|condition| condition.type_ == "Deleting")
            .then_some(()))
    })
    .await?;
    world.available("True").await?;
    world.gone(NAMESPACE, "workers").await?;
    world.lets_in(&shorter, false).await?;
    ensure!(world.tokens().await? == 0, "tokens are left");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_takes_nothing_that_is_not_its_own() -> Result<()> {
    let world = World::start().await?;
    world.cluster().await?;
    world.available("True").await?;

    // A Secret of that name is somebody else's.
    let theirs: Secret = serde_json::from_value(
        json!({ "metadata": { "name": "basic-ca" }, "stringData": { "tls.key": "k" } }),
    )?;
    let secrets: Api<Secret> = world.api(NAMESPACE);
    let theirs = secrets.create(&PostParams::default(), &theirs).await?;
    world.request(NAMESPACE, "basic-ca", "1h", json!({})).await?;
    world.reason(NAMESPACE, "basic-ca", "SecretExists").await?;
    ensure!(secrets.get("basic-ca").await?.resource_version() == theirs.resource_version());

    // The Cluster is another namespace's, and does not let this one in, until it does.
    let there = json!({ "annotations": { "k0smotron.io/cluster-ref-namespace": NAMESPACE } });
    world.request("team", "legacy", "0s", there.clone()).await?;
    world.reason("team", "legacy", "NamespaceNotAllowed").await?;
    ensure!(world.api::<Secret>("team").get_opt("legacy").await?.is_none());
    ensure!(world.tokens().await? == 0, "a token was made");
    let clusters: Api<Cluster> = world.api(NAMESPACE);
    let allow = Patch::Merge(
        json!({ "metadata": { "annotations": { "k0smotron.io/join-token-namespaces": "other, team" } } }),
    );
    let cluster = clusters.patch("basic", &PatchParams::default(), &allow).await?;
    let (secret, token) = world.token("team", "legacy", None).await?;
    world.lets_in(&token, true).await?;
    ensure!(secret.labels()["k0smotron.io/cluster-uid"] == cluster.uid().unwrap());

    // Controllers have no port to join by.
    let controllers = json!({
        "apiVersion": CLUSTER, "kind": "JoinTokenRequest", "metadata": { "name": "controllers" },
        "spec": { "clusterName": "basic", "role": "controller" },
    });
    apply(&world.client, &controllers, NAMESPACE, "test").await?;
    world.reason(NAMESPACE, "controllers", "Unsupported").await?;

    // What was asked for from elsewhere goes with the Cluster, and does not wait for its API.
    clusters.delete("basic", &DeleteParams::default()).await?;
    world.gone("team", "legacy").await?;
    Ok(())
}
