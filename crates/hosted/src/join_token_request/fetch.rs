//! Reads the request's Cluster, the tokens that it has for the request, and the Secret that was published.

use std::{future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;
use k0smotron_api::{
    k0smotron::v1beta2::{Cluster, JoinTokenRequest},
    names::{annotations, conditions::types, finalizers, labels, secrets as contract},
    unsupported,
};
use k0smotron_k0s::{
    kubeconfig::{self, Facts},
    token,
};
use k0smotron_runtime::{
    Context,
    conditions::{find, is_true},
    controller::controller_of,
    dial::Target,
    secrets,
    workload::ClusterKey,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, api::ListParams, runtime::reflector::ObjectRef};

use super::{
    Error, cluster_namespace,
    decide::{Observed, Plane, Published},
    tokens::{self, Token},
};
use crate::k0smotron_cluster::names::Names;

/// Longest that the Cluster may take to list a few tokens. It holds a worker meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// The objects behind the facts.
pub struct Inputs {
    pub request: Arc<JoinTokenRequest>,
    pub cluster: Option<Cluster>,
    /// What the Cluster's kubeconfig says.
    pub kubeconfig: Option<Facts>,
    /// Client of the Cluster's API.
    pub workload: Option<Client>,
    pub life: Option<Duration>,
    pub now: Timestamp,
}

/// Reads what the request refers to, as far as it matters now.
pub async fn fetch(request: &Arc<JoinTokenRequest>, context: &Context) -> Result<(Inputs, Observed), Error> {
    let namespace = cluster_namespace(request);
    let name = &request.spec.cluster_name;
    let cluster = context.api::<Cluster>(&namespace).get_opt(name).await;
    let cluster = cluster.map_err(|source| Error::Read {
        what: format!("Cluster {namespace}/{name}"),
        source,
    })?;
    let (life, bad_expiry) = match request.spec.life() {
        Ok(life) => (life, None),
        Err(message) => (None, Some(message)),
    };
    let mut inputs = Inputs {
        request: request.clone(),
        cluster,
        kubeconfig: None,
        workload: None,
        life,
        now: Timestamp::now(),
    };
    let deleted = request.metadata.deletion_timestamp.is_some();
    let mut observed = Observed {
        deleted,
        paused: request.annotations().contains_key(annotations::PAUSED),
        held: request
            .finalizers()
            .iter()
            .any(|held| held == finalizers::JOIN_TOKEN_REQUEST),
        belongs: inputs
            .cluster
            .as_ref()
            .is_some_and(|cluster| belongs(request, cluster)),
        legacy: request.namespace().as_ref() != Some(&namespace),
        unsupported: unsupported::message(&request.spec.unsupported()),
        bad_expiry,
        cluster: format!("{namespace}/{name}"),
        plane: Plane::Missing,
        tokens: Vec::new(),
        published: published(request, context).await?,
        life,
        now: inputs.now,
    };
    observed.plane = match &inputs.cluster {
        None => Plane::Missing,
        Some(cluster) if cluster.metadata.deletion_timestamp.is_some() => Plane::Going,
        Some(cluster) if !deleted && observed.legacy && !allows(cluster, request) => Plane::Forbids,
        Some(cluster) => match available(cluster) {
            Err(message) => Plane::NotAvailable(message),
            Ok(()) => Plane::Answers,
        },
    };
    // What cannot be used is not asked for.
    let stuck = observed.unsupported.is_some() || observed.bad_expiry.is_some();
    if observed.plane == Plane::Answers && !observed.paused && (deleted || !stuck) {
        observed.tokens = ask(&mut inputs, context).await?;
    }
    Ok((inputs, observed))
}

/// Whether the request says whose it is, so that it goes with its Cluster.
fn belongs(request: &JoinTokenRequest, cluster: &Cluster) -> bool {
    if request.namespace() == cluster.namespace() {
        return request
            .owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == cluster.uid().as_ref());
    }
    request.labels().get(labels::HOSTED_CLUSTER_UID) == cluster.uid().as_ref()
}

/// Whether the Cluster lets requests of another namespace have tokens.
fn allows(cluster: &Cluster, request: &JoinTokenRequest) -> bool {
    let namespace = request.namespace().unwrap_or_default();
    let allowed = cluster.annotations().get(annotations::JOIN_TOKEN_NAMESPACES);
    allowed.is_some_and(|list| {
        list.split(',')
            .map(str::trim)
            .any(|entry| entry == "*" || entry == namespace)
    })
}

/// Whether the Cluster answers, as it says of itself; in words why not.
fn available(cluster: &Cluster) -> Result<(), String> {
    let conditions = cluster
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    if is_true(conditions, types::AVAILABLE) {
        return Ok(());
    }
    let message = find(conditions, types::AVAILABLE).map_or("", |condition| &condition.message);
    Err(message.to_owned())
}

/// The Secret of the request's name.
async fn published(request: &JoinTokenRequest, context: &Context) -> Result<Published, Error> {
    let name = request.name_any();
    let api: Api<Secret> = context.api(&request.namespace().unwrap_or_default());
    let secret = api.get_opt(&name).await.map_err(|source| Error::Read {
        what: format!("Secret {name}"),
        source,
    })?;
    Ok(match secret {
        None => Published::Nothing,
        Some(secret) if !is_ours(&secret, request) => Published::Foreign,
        Some(secret) => Published::Token {
            cluster: secret.labels().get(labels::HOSTED_CLUSTER).cloned(),
            id: secrets::text(&secret, "token")
                .and_then(|text| token::JoinToken::parse(&text).ok())
                .map(|token| token.token.id().to_owned()),
        },
    })
}

/// By name and kind, or by the label if nobody owns it: restores change UIDs and drop owners.
fn is_ours(secret: &Secret, request: &JoinTokenRequest) -> bool {
    let reference = ObjectRef::<JoinTokenRequest>::from_obj(request);
    match controller_of::<JoinTokenRequest, _>(secret) {
        Some(owner) => owner == reference,
        None => {
            secret.owner_references().is_empty()
                && secret.labels().get(labels::TOKEN_REQUEST) == Some(&request.name_any())
        }
    }
}

/// Asks the Cluster for the tokens that it has for the request.
async fn ask(inputs: &mut Inputs, context: &Context) -> Result<Vec<Token>, Error> {
    let Some(cluster) = &inputs.cluster else {
        return Ok(Vec::new());
    };
    let names = Names::of(cluster);
    let secret_name = contract::kubeconfig(&names.cluster);
    let secrets: Api<Secret> = context.api(&names.namespace);
    let kubeconfig = secrets
        .get_opt(&secret_name)
        .await
        .map_err(|source| Error::Read {
            what: format!("Secret {}/{secret_name}", names.namespace),
            source,
        })?;
    inputs.kubeconfig = kubeconfig
        .and_then(|secret| secrets::text(&secret, contract::VALUE))
        .and_then(|text| kubeconfig::facts_of(&text).ok());
    let key = ClusterKey {
        namespace: names.namespace.clone(),
        name: names.cluster.clone(),
    };
    let service = &cluster.spec.service;
    let port = u16::try_from(service.api_port).unwrap_or_default();
    let target = Target::service(&names.namespace, names.service(service.r#type), port);
    let client = context
        .workloads
        .client_through(&key, &context.pods, &target)
        .await
        .map_err(Error::Dial)?;
    let tokens = list(&client, &inputs.request).await;
    if matches!(&tokens, Err(Error::ReadTokens(kube::Error::Api(status))) if status.code == 401) {
        // Signed by an authority that is not the cluster's any more, or expired: read the Secret again.
        context.workloads.forget(&key);
    }
    inputs.workload = Some(client);
    tokens
}

async fn list(client: &Client, request: &JoinTokenRequest) -> Result<Vec<Token>, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), token::SECRET_NAMESPACE);
    let parameters = ListParams::default().labels(&tokens::selector(request));
    let mut found: Vec<_> = in_time(api.list(&parameters))
        .await?
        .iter()
        .filter_map(Token::read)
        .collect();
    // Those of the original bear no labels.
    let reported = request
        .status
        .as_ref()
        .and_then(|status| status.token_id.as_ref());
    if let Some(id) = reported.filter(|id| !found.iter().any(|token| token.id() == id.as_str())) {
        let secret = in_time(api.get_opt(&token::secret_name(id))).await?;
        found.extend(secret.as_ref().and_then(Token::read));
    }
    Ok(found)
}

async fn in_time<T>(answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    tokio::time::timeout(ANSWER_TIMEOUT, answer)
        .await
        .map_err(|_elapsed| Error::Slow)?
        .map_err(Error::ReadTokens)
}
