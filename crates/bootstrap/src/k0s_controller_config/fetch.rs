//! Reads everything that a controller's bootstrap data is made from.

use std::sync::Arc;

use jiff::Timestamp;
use k0smotron_api::{
    bootstrap::v1beta2::K0sControllerConfig,
    capi::{Cluster, Machine},
    control_plane::v1beta2::K0sControlPlane,
    names::{annotations, labels, secrets as contract},
    unsupported,
};
use k0smotron_k0s::{
    controller::ControlPlanePki,
    pki::{self, CertificateAuthority, ServiceAccountKeys},
    plan::File,
    token::BootstrapToken,
    version::Version,
};
use k0smotron_runtime::{
    Context, controller::controller_of, gates::FeatureGates, secrets, shared::Shared, workload::ClusterKey,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, api::ListParams};

use super::{
    Error,
    decide::{self, Founder, Joining, Observed, Sources},
    peers,
};
use crate::{belonging, content, join_token, prerequisites::Owner, version};

/// The objects behind the facts.
#[derive(Clone)]
pub struct Inputs {
    pub config: Arc<K0sControllerConfig>,
    pub machine: Option<Arc<Machine>>,
    /// As read just now if a founder may have to be appointed, so that the write can tell whether it is the first.
    pub cluster: Option<Arc<Cluster>>,
    pub version: Option<Version>,
    pub files: Vec<File>,
    pub custom_user_data: Option<String>,
    pub gates: FeatureGates,
    /// What the founder gets.
    pub pki: Option<ControlPlanePki>,
    /// Certificate of the cluster's CA, for who joins.
    pub authority: Option<String>,
    /// Client of the workload cluster, and what it has for a token.
    pub workload: Option<Client>,
    pub token: Option<join_token::Found>,
    /// The token in the bootstrap data.
    pub issued: Option<BootstrapToken>,
    /// URL of the join API of a controller that answers.
    pub peer: Option<String>,
    pub now: Timestamp,
}

/// Reads what the config refers to, as far as it matters now.
pub async fn fetch(
    config: &Arc<K0sControllerConfig>,
    context: &Context,
    clusters: &Shared<Cluster>,
) -> Result<(Inputs, Observed), Error> {
    let mut belonging = belonging::of(context, clusters, config.as_ref())
        .await
        .map_err(Error::Read)?;
    let mut unsupported = config.spec.unsupported();
    if let Owner::Pool(name) = &belonging.prerequisites.owner {
        unsupported.push(format!("owner MachinePool {name}"));
    }
    belonging.prerequisites.unsupported = unsupported::message(&unsupported);
    let cluster = belonging.cluster;
    let mut observed = Observed {
        prerequisites: belonging.prerequisites,
        endpoint: endpoint_known(config, cluster.as_deref()),
        sources: None,
    };
    let mut inputs = Inputs {
        config: config.clone(),
        machine: belonging.machine,
        cluster,
        version: None,
        files: Vec::new(),
        custom_user_data: None,
        gates: context.gates,
        pki: None,
        authority: None,
        workload: None,
        token: None,
        issued: belonging.token,
        peer: None,
        now: Timestamp::now(),
    };
    if decide::premature(&observed).is_none() {
        observed.sources = sources(&mut inputs, context).await?;
    }
    Ok((inputs, observed))
}

/// Whether the cluster has an endpoint. A control plane makes a founder's config when it knows it, and writes it in:
/// the Cluster, to which Cluster API copies it up to seconds later, is not waited for.
fn endpoint_known(config: &K0sControllerConfig, cluster: Option<&Cluster>) -> bool {
    config.annotations().contains_key(annotations::FOUNDS_CLUSTER)
        || cluster.is_some_and(|cluster| cluster.endpoint().is_some())
}

/// Looks for what the bootstrap data is made from; what is found goes into `inputs`.
async fn sources(inputs: &mut Inputs, context: &Context) -> Result<Option<Sources>, Error> {
    let config = inputs.config.clone();
    let namespace = config.namespace().unwrap_or_default();
    let (Some(machine), Some(cluster)) = (inputs.machine.clone(), inputs.cluster.clone()) else {
        return Ok(None);
    };
    // Who founds the cluster is decided on what is so now, not on what a watch has seen.
    let cluster_api = context.api::<Cluster>(&namespace);
    let Some(cluster) = cluster_api
        .get_opt(&cluster.name_any())
        .await
        .map_err(Error::Read)?
    else {
        return Ok(None);
    };
    let cluster = Arc::new(cluster);
    inputs.cluster = Some(cluster.clone());
    let plane = match controller_of::<K0sControlPlane, _>(machine.as_ref()) {
        Some(plane) => context
            .api::<K0sControlPlane>(&namespace)
            .get_opt(&plane.name)
            .await
            .map_err(Error::Read)?,
        None => None,
    };
    let selector = format!(
        "{}={},{}",
        labels::CLUSTER_NAME,
        cluster.name_any(),
        labels::CONTROL_PLANE
    );
    let selected = ListParams::default().labels(&selector);
    let machines = context
        .api::<Machine>(&namespace)
        .list(&selected)
        .await
        .map_err(Error::Read)?
        .items;

    let mut sources = Sources {
        exists: cluster.control_plane_initialized() || plane.as_ref().is_some_and(exists),
        made_to_found: config.annotations().contains_key(annotations::FOUNDS_CLUSTER),
        founder: founder(&cluster, &machine, &machines),
        bad_version: None,
        missing_content: None,
        missing_authorities: Vec::new(),
        joining: Joining::default(),
    };
    match version::of(config.spec.version.as_deref(), Some(&machine)) {
        Ok(version) => inputs.version = version,
        Err(message) => sources.bad_version = Some(message),
    }
    let spec = &config.spec.config;
    match content::files(context, &namespace, &spec.files)
        .await
        .map_err(Error::Read)?
    {
        Ok(files) => inputs.files = files,
        Err(message) => sources.missing_content = Some(message),
    }
    let custom = spec
        .provisioner
        .as_ref()
        .and_then(|provisioner| provisioner.custom_user_data_ref.as_ref());
    match content::custom_user_data(context, &namespace, custom)
        .await
        .map_err(Error::Read)?
    {
        Ok(text) => inputs.custom_user_data = text,
        Err(message) => sources.missing_content = Some(message),
    }
    if sources.joins() {
        joining(inputs, &mut sources, &cluster, &machines, context).await?;
        return Ok(Some(sources));
    }
    match authorities(context, &namespace, &cluster.name_any()).await? {
        Ok(pki) => inputs.pki = Some(pki),
        Err(missing) => sources.missing_authorities = missing,
    }
    Ok(Some(sources))
}

/// What a token of the config is found by.
pub fn token_of(config: &K0sControllerConfig) -> join_token::For {
    join_token::For::machine_of(config)
}

/// Looks for what a controller joins with: certificate, token, and somebody to join through.
async fn joining(
    inputs: &mut Inputs,
    sources: &mut Sources,
    cluster: &Cluster,
    machines: &[Machine],
    context: &Context,
) -> Result<(), Error> {
    let owner = token_of(&inputs.config);
    let secrets_api: Api<Secret> = context.api(&owner.namespace);
    let name = contract::cluster_ca(&cluster.name_any());
    let secret = secrets_api.get_opt(&name).await.map_err(Error::Read)?;
    inputs.authority = secret.and_then(|secret| secrets::text(&secret, contract::TLS_CRT));
    if inputs.authority.is_none() {
        sources.missing_authorities = vec![format!(
            "Secret {}/{name} has no certificate under key {}",
            owner.namespace,
            contract::TLS_CRT
        )];
        return Ok(());
    }
    let key = ClusterKey {
        namespace: owner.namespace.clone(),
        name: cluster.name_any(),
    };
    match join_token::look_up_in(&key, &owner, context).await {
        Ok((client, found)) => {
            sources.joining.token_taken = matches!(found, join_token::Found::Taken);
            inputs.workload = Some(client);
            inputs.token = Some(found);
        }
        Err(message) => {
            sources.joining.unreachable = Some(message);
            return Ok(());
        }
    }
    let candidates = peers::candidates(&inputs.config, cluster, machines);
    match peers::first_to_answer(&candidates).await {
        Some(peer) => inputs.peer = Some(peer),
        None => sources.joining.no_peer = Some(peers::nobody(&candidates)),
    }
    Ok(())
}

/// Whether the control plane says that its cluster exists.
fn exists(plane: &K0sControlPlane) -> bool {
    plane.annotations().contains_key(annotations::CLUSTER_INITIALIZED)
        || plane
            .status
            .as_ref()
            .is_some_and(|status| status.control_plane_initialized())
}

/// What the annotation of the founder says of a Machine.
pub fn founder_value(machine: &Machine) -> String {
    format!("{}/{}", machine.name_any(), machine.uid().unwrap_or_default())
}

/// Who is appointed. By UID: a Machine made again under the founder's name has another host.
fn founder(cluster: &Cluster, machine: &Machine, machines: &[Machine]) -> Founder {
    let Some(appointed) = cluster.annotations().get(annotations::FOUNDING_MACHINE) else {
        return Founder::None;
    };
    if *appointed == founder_value(machine) {
        return Founder::This;
    }
    let other = machines
        .iter()
        .find(|machine| *appointed == founder_value(machine));
    other.map_or(Founder::None, |other| Founder::Other(other.name_any()))
}

/// The cluster's authorities, or what is wrong with which of them.
async fn authorities(
    context: &Context,
    namespace: &str,
    cluster: &str,
) -> Result<Result<ControlPlanePki, Vec<String>>, Error> {
    let api: Api<Secret> = context.api(namespace);
    let mut problems = Vec::new();
    let mut pairs = Vec::new();
    let names = [
        contract::cluster_ca(cluster),
        contract::etcd_ca(cluster),
        contract::proxy_ca(cluster),
        contract::service_account_keys(cluster),
    ];
    for name in &names {
        match api.get_opt(name).await.map_err(Error::Read)? {
            None => problems.push(format!("Secret {namespace}/{name} does not exist")),
            Some(secret) => {
                let certificate = secrets::text(&secret, contract::TLS_CRT);
                let key = secrets::text(&secret, contract::TLS_KEY);
                match (certificate, key) {
                    (Some(certificate), Some(key)) => pairs.push((certificate, key)),
                    _ => problems.push(format!(
                        "Secret {namespace}/{name} needs text under {} and {}",
                        contract::TLS_CRT,
                        contract::TLS_KEY
                    )),
                }
            }
        }
    }
    let [ca, etcd, proxy, account] = match <[(String, String); 4]>::try_from(pairs) {
        Ok(pairs) => pairs,
        Err(_) => return Ok(Err(problems)),
    };
    let authority = |(cert_pem, key_pem): (String, String)| CertificateAuthority {
        cert_pem,
        key_pem: key_pem.into(),
    };
    let pki = ControlPlanePki {
        ca: authority(ca),
        etcd_ca: authority(etcd),
        front_proxy_ca: authority(proxy),
        service_account: ServiceAccountKeys {
            public_pem: account.0,
            private_pem: account.1.into(),
        },
    };
    let now = Timestamp::now();
    let checks = [
        pki::validate_ca(&pki.ca, now).map(drop),
        pki::validate_ca(&pki.etcd_ca, now).map(drop),
        pki::validate_ca(&pki.front_proxy_ca, now).map(drop),
        pki::validate_service_account_keys(&pki.service_account),
    ];
    for (name, check) in names.iter().zip(checks) {
        if let Err(error) = check {
            problems.push(format!("Secret {namespace}/{name}: {error}"));
        }
    }
    Ok(if problems.is_empty() {
        Ok(pki)
    } else {
        Err(problems)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str, uid: &str) -> Machine {
        let mut machine = Machine::default();
        machine.metadata.name = Some(name.to_owned());
        machine.metadata.uid = Some(uid.to_owned());
        machine
    }

    fn cluster(founder: Option<&str>) -> Cluster {
        let mut cluster = Cluster::default();
        cluster.metadata.annotations = founder.map(|value| {
            [(annotations::FOUNDING_MACHINE.to_owned(), value.to_owned())]
                .into_iter()
                .collect()
        });
        cluster
    }

    #[test]
    fn who_made_a_founders_config_knew_the_endpoint() {
        let config = |annotations: &str| -> K0sControllerConfig {
            serde_yaml::from_str(&format!(
                "{{apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: K0sControllerConfig, \
                 metadata: {{name: demo, annotations: {annotations}}}, spec: {{version: v1.36.3}}}}"
            ))
            .unwrap()
        };
        let bare = cluster(None);
        let mut ready = bare.clone();
        ready.spec.control_plane_endpoint = Some(k0smotron_api::capi::Endpoint {
            host: "10.88.1.10".to_owned(),
            port: 6443,
        });
        let founds = format!("{{{}: 'true'}}", annotations::FOUNDS_CLUSTER);
        assert!(endpoint_known(&config(&founds), Some(&bare)));
        assert!(endpoint_known(&config("{}"), Some(&ready)));
        assert!(!endpoint_known(&config("{}"), Some(&bare)));
    }

    #[test]
    fn the_founder_is_one_machine_and_not_its_namesake() {
        let me = machine("cp", "1");
        let all = [me.clone(), machine("other", "2")];
        let table = [
            (None, Founder::None),
            (Some("cp/1"), Founder::This),
            (Some("other/2"), Founder::Other("other".to_owned())),
            (Some("cp/0"), Founder::None),
            (Some("gone/3"), Founder::None),
        ];
        for (appointed, expected) in table {
            assert_eq!(founder(&cluster(appointed), &me, &all), expected, "{appointed:?}");
        }
    }
}
