//! What is told to k0s about its members: to let one go, to forget those that are gone, and to update some in place.
//!
//! k0s does the leaving itself (facts: how members leave): the member's controller shuts down and leaves, or is taken
//! out by another one once it has been away for minutes.

use k0smotron_api::k0s_objects::{ControlNode, EtcdMember, Plan};
use k0smotron_runtime::{Context, absence, workload::ClusterKey};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Error, autopilot::PLAN};

/// The members of a cluster, to be written to.
pub struct Members(Client);

impl Members {
    /// # Errors
    /// There is no kubeconfig, or none that can be used.
    pub async fn of(cluster: &ClusterKey, context: &Context) -> Result<Self, Error> {
        let client = context.workloads.client(cluster).await;
        client.map(Self).map_err(Error::Dial)
    }

    /// Has k0s take a member out of etcd.
    ///
    /// # Errors
    /// Whatever the workload cluster's API answers; that there is no such member among it.
    pub async fn take_out(&self, name: &str) -> Result<(), Error> {
        let api: Api<EtcdMember> = Api::all(self.0.clone());
        let leave = Patch::Merge(json!({ "spec": { "leave": true } }));
        let asked = api.patch_metadata(name, &PatchParams::default(), &leave).await;
        asked
            .map(drop)
            .map_err(|source| failed("ask to leave", name, source))
    }

    /// Removes the ControlNode of a controller that is no member any more.
    ///
    /// # Errors
    /// Whatever the workload cluster's API answers, but not that there is none.
    pub async fn forget_controller(&self, name: &str) -> Result<(), Error> {
        remove::<ControlNode>(&self.0, name, &DeleteParams::default())
            .await
            .map_err(|source| failed("forget", name, source))
    }

    /// Removes what k0s keeps of a member that has left and whose Machine is gone.
    ///
    /// # Errors
    /// Whatever the workload cluster's API answers, but not that there is nothing.
    pub async fn forget_member(&self, name: &str) -> Result<(), Error> {
        self.forget_controller(name).await?;
        remove::<EtcdMember>(&self.0, name, &DeleteParams::default())
            .await
            .map_err(|source| failed("forget", name, source))
    }

    /// Makes a Plan, and never overwrites one.
    ///
    /// # Errors
    /// Whatever the workload cluster's API answers; that there is a Plan among it.
    pub async fn make_plan(&self, plan: &Plan) -> Result<(), Error> {
        let api: Api<Plan> = Api::all(self.0.clone());
        let made = api.create(&PostParams::default(), plan).await;
        made.map(drop)
            .map_err(|source| Error::Plan { verb: "make", source })
    }

    /// Removes the Plan of that UID. k0s brings the controller that it is at to an end, and begins with no other.
    ///
    /// # Errors
    /// Whatever the workload cluster's API answers, but not that it is gone.
    pub async fn remove_plan(&self, uid: &str) -> Result<(), Error> {
        let parameters = DeleteParams::default().preconditions(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        remove::<Plan>(&self.0, PLAN, &parameters)
            .await
            .map_err(|source| Error::Plan {
                verb: "remove",
                source,
            })
    }
}

/// Removes what may be gone already. An API server that does not serve the kind yet has not removed anything.
async fn remove<K>(client: &Client, name: &str, parameters: &DeleteParams) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    match Api::<K>::all(client.clone()).delete(name, parameters).await {
        Ok(_) => Ok(()),
        Err(error) => absence::of::<K>(client, error).await.map(drop),
    }
}

fn failed(verb: &'static str, name: &str, source: kube::Error) -> Error {
    Error::Member {
        verb,
        name: name.to_owned(),
        source,
    }
}
