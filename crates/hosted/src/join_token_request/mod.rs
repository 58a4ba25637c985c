//! JoinTokenRequest: a token with which a node joins a hosted control plane.

use k0smotron_api::k0smotron::v1beta2::{JoinTokenRequest, JoinTokenRequestStatus};
use k0smotron_runtime::{Context, Controller};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::unsupported::{self, Hosted};

/// Runs the controller until dropped.
pub async fn run(context: Context) {
    Controller::<JoinTokenRequest>::new("join-token-request", &context)
        .run(move |request| {
            let context = context.clone();
            async move { unsupported::reconcile(request.as_ref(), false, &context).await }
        })
        .await;
}

impl Hosted for JoinTokenRequest {
    type Status = JoinTokenRequestStatus;

    fn unsupported(&self) -> Vec<String> {
        self.spec.unsupported()
    }

    fn status(&self) -> Option<&JoinTokenRequestStatus> {
        self.status.as_ref()
    }

    fn report(status: &mut JoinTokenRequestStatus) -> (&mut Vec<Condition>, &mut Option<i64>) {
        (&mut status.conditions, &mut status.observed_generation)
    }
}
