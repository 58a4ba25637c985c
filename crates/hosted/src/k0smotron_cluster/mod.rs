//! Cluster of k0smotron.io: a control plane in pods.

pub mod names;

use k0smotron_api::k0smotron::v1beta2::{Cluster, ClusterStatus};
use k0smotron_runtime::{Context, Controller};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::unsupported::{self, Hosted};

/// Runs the controller until dropped.
pub async fn run(context: Context) {
    Controller::<Cluster>::new("k0smotron-cluster", &context)
        .run(move |plane| {
            let context = context.clone();
            async move { unsupported::reconcile(plane.as_ref(), false, &context).await }
        })
        .await;
}

impl Hosted for Cluster {
    type Status = ClusterStatus;

    fn unsupported(&self) -> Vec<String> {
        self.spec.unsupported()
    }

    fn status(&self) -> Option<&ClusterStatus> {
        self.status.as_ref()
    }

    fn report(status: &mut ClusterStatus) -> (&mut Vec<Condition>, &mut Option<i64>) {
        (&mut status.conditions, &mut status.observed_generation)
    }
}
