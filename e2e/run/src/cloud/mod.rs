//! A second infrastructure provider, as small as the contract allows: it boots machines from the bootstrap data in their
//! Secrets, by Debian's cloud-init, and never logs in to them. So it finds what only works on hosts that are reached by SSH.
//!
//! One set of kinds, that can be installed for either contract of Cluster API. Test equipment: it looks at everything again
//! and again, and knows one Cluster at a time.

mod kinds;

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k0smotron_api::{capi, names::secrets};
use k0smotron_e2e_machines::{Machine, MachineImage, MachineSpec, list};
use k0smotron_e2e_plane::manifests;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

pub use kinds::Contract;
use kinds::{CloudCluster, CloudMachine};

use crate::testbed::Testbed;

const FINALIZER: &str = "cloud.e2e.k0smotron.io/machine";
const POLL: Duration = Duration::from_millis(300);
/// The machines' addresses begin above those of the testbed's own.
const FIRST_INDEX: u8 = 31;
const MOST: u8 = 8;
/// Every machine is in one of these.
const DOMAINS: [&str; 2] = ["east", "west"];

/// The provider of one testbed.
pub struct Cloud<'a> {
    testbed: &'a Testbed,
    client: Client,
    image: MachineImage,
    contract: Contract,
    /// Two that boot at once must not take the same address.
    taken: Mutex<BTreeSet<u8>>,
}

impl<'a> Cloud<'a> {
    /// Installs the kinds for this contract.
    ///
    /// # Errors
    /// When the image cannot be made, or the API server refuses a definition.
    pub async fn install(testbed: &'a Testbed, contract: Contract) -> Result<Self> {
        let image = tokio::task::spawn_blocking(MachineImage::with_cloud_init).await??;
        let client = testbed.plane.client()?;
        manifests::apply_definitions(&client, &kinds::definitions(contract)?).await?;
        Ok(Self {
            testbed,
            client,
            image,
            contract,
            taken: Mutex::default(),
        })
    }

    /// Addresses that a machine may get, for the load balancer in front of those that are controllers.
    #[must_use]
    pub fn addresses(&self) -> Vec<std::net::Ipv4Addr> {
        let [a, b, c, _] = self.testbed.network.host().octets();
        (FIRST_INDEX..FIRST_INDEX + MOST)
            .map(|index| std::net::Ipv4Addr::new(a, b, c, index + 10))
            .collect()
    }

    /// Names of the machines that there are.
    ///
    /// # Errors
    /// When the state of the machines cannot be read.
    pub fn machines(&self) -> Result<Vec<String>> {
        let all = list(self.testbed.network.instance())?;
        let names = all.iter().map(|machine| machine.name().to_owned());
        Ok(names.filter(|name| self.testbed.machine(name).is_err()).collect())
    }

    /// Does its work until dropped.
    ///
    /// # Errors
    /// With what could not be done; nothing is tried twice.
    pub async fn operate(&self) -> Result<Infallible> {
        loop {
            let clusters: Api<CloudCluster> = Api::all(self.client.clone());
            for cluster in clusters.list(&ListParams::default()).await? {
                self.provide_cluster(&cluster).await?;
            }
            let machines: Api<CloudMachine> = Api::all(self.client.clone());
            let machines = machines.list(&ListParams::default()).await?;
            try_join_all(machines.iter().map(|machine| self.provide(machine))).await?;
            tokio::time::sleep(POLL).await;
        }
    }

    async fn provide_cluster(&self, cluster: &CloudCluster) -> Result<()> {
        if self.contract.is_provisioned(cluster.status.as_ref()) {
            return Ok(());
        }
        let api: Api<CloudCluster> = Api::namespaced(self.client.clone(), &namespace(cluster));
        let endpoint = json!({ "host": self.testbed.network.host().to_string(), "port": 6443 });
        let status = self.contract.cluster_status(&DOMAINS);
        patch(
            &api,
            cluster,
            json!({ "spec": { "controlPlaneEndpoint": endpoint } }),
        )
        .await?;
        patch_status(&api, cluster, status).await
    }

    async fn provide(&self, machine: &CloudMachine) -> Result<()> {
        let name = machine.name_any();
        let api: Api<CloudMachine> = Api::namespaced(self.client.clone(), &namespace(machine));
        if machine.metadata.deletion_timestamp.is_some() {
            return self.remove(&api, machine).await;
        }
        if self.contract.is_provisioned(machine.status.as_ref()) {
            return Ok(());
        }
        let Some((owner, user_data)) = self.user_data(machine).await? else {
            return Ok(());
        };
        patch(
            &api,
            machine,
            json!({ "metadata": { "finalizers": [FINALIZER] } }),
        )
        .await?;
        let index = self.take_index().await?;
        let spec = MachineSpec {
            user_data: Some(user_data),
            ..MachineSpec::new(&name, index, self.testbed.key.public())
        };
        let booted = Machine::start(&self.testbed.network, &self.image, &spec).await;
        let booted = booted.with_context(|| format!("CloudMachine {name}"))?;
        println!("  {name} booted at {}", booted.address());
        let domain = owner.spec.failure_domain.as_deref().unwrap_or("east");
        let provided = self
            .contract
            .machine(&booted.address().to_string(), &name, domain);
        patch(&api, machine, json!({ "spec": provided.spec })).await?;
        patch_status(&api, machine, provided.status).await
    }

    /// The Machine that it belongs to, and what it is to boot from, once there is such.
    async fn user_data(&self, machine: &CloudMachine) -> Result<Option<(capi::Machine, String)>> {
        let owner = machine
            .owner_references()
            .iter()
            .find(|owner| owner.kind == "Machine");
        let Some(owner) = owner else { return Ok(None) };
        let namespace = namespace(machine);
        let owners: Api<capi::Machine> = Api::namespaced(self.client.clone(), &namespace);
        let Some(owner) = owners.get_opt(&owner.name).await? else {
            return Ok(None);
        };
        let Some(secret) = &owner.spec.bootstrap.data_secret_name else {
            return Ok(None);
        };
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        let data = secrets.get(secret).await?.data.unwrap_or_default();
        let value = data
            .get(secrets::VALUE)
            .with_context(|| format!("Secret {secret} has no value"))?;
        Ok(Some((owner, String::from_utf8(value.0.clone())?)))
    }

    async fn remove(&self, api: &Api<CloudMachine>, machine: &CloudMachine) -> Result<()> {
        if !machine
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == FINALIZER)
        {
            return Ok(());
        }
        let name = machine.name_any();
        for booted in list(self.testbed.network.instance())? {
            if booted.name() == name {
                booted.stop().await?;
                let index = booted.address().octets()[3].saturating_sub(10);
                self.taken.lock().await.remove(&index);
            }
        }
        patch(api, machine, json!({ "metadata": { "finalizers": null } })).await
    }

    async fn take_index(&self) -> Result<u8> {
        let mut taken = self.taken.lock().await;
        let free = (FIRST_INDEX..FIRST_INDEX + MOST).find(|index| !taken.contains(index));
        let free = free.context("there is no address left")?;
        taken.insert(free);
        Ok(free)
    }
}

fn namespace(object: &impl ResourceExt) -> String {
    object.namespace().unwrap_or_default()
}

async fn patch<K>(api: &Api<K>, object: &K, patch: Value) -> Result<()>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let patch = Patch::Merge(patch);
    api.patch(&object.name_any(), &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

async fn patch_status<K>(api: &Api<K>, object: &K, status: Value) -> Result<()>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let patch = Patch::Merge(json!({ "status": status }));
    api.patch_status(&object.name_any(), &PatchParams::default(), &patch)
        .await?;
    Ok(())
}
