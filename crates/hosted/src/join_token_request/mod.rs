//! JoinTokenRequest: a token with which workers join a hosted control plane.
//!
//! The token is made by the API of the cluster that is joined, and handed over in a Secret of the request's name. As long
//! as the request is there, the Secret holds a token that lets workers in; when the request goes, all of its tokens are
//! revoked before.
//!
//! | event | what happens |
//! |---|---|
//! | a request is made, or its Cluster begins to answer | a token is made and published |
//! | two thirds of the token's life are over | another is made and published; the first one expires by itself |
//! | the Cluster's kubeconfig or address changes, the Secret is changed or deleted | the Secret is written again |
//! | the expiry is changed | a token that lives too long for it is replaced and revoked |
//! | the request is deleted | its tokens are revoked, as soon as the Cluster answers; if that goes too, at once |
//!
//! A request is for a Cluster of its own namespace. One that was written as v1beta1 may name another namespace
//! (annotation `k0smotron.io/cluster-ref-namespace`): its Cluster has to allow that
//! ([`annotations::JOIN_TOKEN_NAMESPACES`]), or whoever may make requests could join every cluster.

mod apply;
mod build;
mod decide;
mod fetch;
mod report;
mod tokens;

use std::sync::Arc;

use k0smotron_api::{
    k0smotron::v1beta2::{Cluster, JoinTokenRequest},
    names::{annotations, labels},
};
use k0smotron_k0s::token::TokenError;
use k0smotron_runtime::{Context, Controller, Outcome, ReconcileError, status};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};

use decide::Step;

/// Runs the controller until dropped.
pub async fn run(context: Context) {
    let controller = Controller::<JoinTokenRequest>::new("join-token-request", &context);
    let (by_cluster, by_kubeconfig) = (controller.store(), controller.store());
    let kubeconfigs = format!("{}={}", labels::COMPONENT, labels::COMPONENT_KUBECONFIG);
    controller
        .owns::<Secret>(labels::TOKEN_REQUEST)
        // Only that something of it changed: what it says is read when it matters.
        .watches_metadata::<Cluster>("", move |cluster| {
            requests_for(
                &by_cluster,
                &cluster.namespace().unwrap_or_default(),
                &cluster.name_any(),
            )
        })
        .watches_metadata::<Secret>(&kubeconfigs, move |secret| {
            let name = secret.name_any();
            let cluster = name.strip_suffix("-kubeconfig").unwrap_or_default();
            requests_for(&by_kubeconfig, &secret.namespace().unwrap_or_default(), cluster)
        })
        .run(move |request| {
            let context = context.clone();
            async move { reconcile(request, &context).await }
        })
        .await;
}

async fn reconcile(request: Arc<JoinTokenRequest>, context: &Context) -> Result<Outcome, Error> {
    let (inputs, observed) = fetch::fetch(&request, context).await?;
    let verdict = match decide::decide(&observed) {
        Step::Rest => return Ok(Outcome::Waiting),
        Step::Prepare => {
            apply::prepare(&inputs, context).await?;
            return Ok(Outcome::Waiting);
        }
        Step::Provide {
            token,
            renewal,
            revoke,
        } => {
            let built = build::build(&inputs, token)?;
            let id = apply::apply(built, &revoke, &inputs, context).await?;
            report::Verdict::Provided { id, renewal }
        }
        Step::Revoke(ids) => {
            apply::revoke(&ids, &inputs).await?;
            apply::release(&inputs, context).await?;
            return Ok(Outcome::Done);
        }
        Step::Release => {
            apply::release(&inputs, context).await?;
            return Ok(Outcome::Done);
        }
        Step::Remove => {
            apply::remove(&inputs, context).await?;
            return Ok(Outcome::Waiting);
        }
        Step::Say(verdict) => verdict,
    };
    report::report(&inputs, &verdict, context).await
}

/// Namespace of the Cluster that a request is for.
fn cluster_namespace(request: &JoinTokenRequest) -> String {
    let other = request.annotations().get(annotations::CLUSTER_REF_NAMESPACE);
    other
        .filter(|namespace| !namespace.is_empty())
        .cloned()
        .or_else(|| request.namespace())
        .unwrap_or_default()
}

fn requests_for(
    store: &Store<JoinTokenRequest>,
    namespace: &str,
    cluster: &str,
) -> Vec<ObjectRef<JoinTokenRequest>> {
    store
        .state()
        .iter()
        .filter(|request| request.spec.cluster_name == cluster && cluster_namespace(request) == namespace)
        .map(|request| ObjectRef::from(request.as_ref()))
        .collect()
}

/// What a pass may fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read {what}")]
    Read { what: String, source: kube::Error },
    #[error("the Cluster cannot be asked for its tokens")]
    Dial(#[source] k0smotron_runtime::workload::DialError),
    #[error("failed to read the tokens of the Cluster")]
    ReadTokens(#[source] kube::Error),
    #[error("the Cluster did not answer for its tokens in time")]
    Slow,
    #[error("what the token is made from went away meanwhile")]
    Incomplete,
    #[error("the join token cannot be made: {0}")]
    Join(TokenError),
    #[error("failed to write the token into the Cluster")]
    WriteToken(#[source] kube::Error),
    #[error("failed to revoke a token of the Cluster")]
    Revoke(#[source] kube::Error),
    #[error("failed to write the Secret with the join token")]
    Publish(#[source] k0smotron_runtime::apply::Error),
    #[error("failed to write the request's metadata")]
    Metadata(#[source] kube::Error),
    #[error("failed to report")]
    Report(#[source] status::Error),
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "ReadFailed",
            Self::Dial(_) | Self::ReadTokens(_) | Self::Slow => "ClusterUnreachable",
            Self::Incomplete => "SourcesChanged",
            Self::Join(_) => "TokenGenerationFailed",
            Self::WriteToken(_) => "TokenFailed",
            Self::Revoke(_) => "RevocationFailed",
            Self::Publish(_) => "ApplyFailed",
            Self::Metadata(_) => "MetadataFailed",
            Self::Report(_) => "ReportFailed",
        }
    }

    fn is_noteworthy(&self) -> bool {
        match self {
            Self::Incomplete => false,
            Self::Metadata(kube::Error::Api(status)) => !status.is_conflict(),
            Self::Publish(error) => !error.is_conflict(),
            _ => true,
        }
    }
}
