//! The cluster's authorities and its administrator's kubeconfig, as Secrets of the contract (C13, C14). Pure but for
//! the random keys.

use k0smotron_api::{
    capi::Cluster,
    names::{labels, secrets as contract},
};
use k0smotron_k0s::{
    kubeconfig,
    pki::{self, CertificateAuthority},
};
use k0smotron_runtime::secrets;
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};
use secrecy::ExposeSecret;

use super::{Error, fetch::Inputs, observe::endpoint_url, observed::Authority};

/// Common name of the authorities, as the original and kubeadm have it.
const COMMON_NAME: &str = "kubernetes";

/// How the kubeconfig's Secret comes to be.
#[derive(Debug)]
pub enum KubeconfigWrite {
    /// A new Secret.
    Create(Box<Secret>),
    /// New content for the Secret that was read; its labels and annotations stay.
    Reissue {
        present: Box<Secret>,
        content: secrecy::SecretString,
    },
    /// The Secret of this name is somebody else's and stays as it is, but for the label by which Cluster API sees it.
    Label { name: String, cluster: String },
}

/// What a kubeconfig that others made lacks: adopted clusters bring theirs, and nothing else tells Cluster API of it.
pub fn label(inputs: &Inputs, cluster: &Cluster) -> Option<KubeconfigWrite> {
    let present = inputs.kubeconfig.as_ref()?;
    let cluster = cluster.name_any();
    let labelled = present.labels().get(labels::CLUSTER_NAME) == Some(&cluster);
    (!labelled).then(|| KubeconfigWrite::Label {
        name: present.name_any(),
        cluster,
    })
}

/// Secrets with new authorities, controlled by the control plane.
pub fn generate(inputs: &Inputs, cluster: &Cluster, wanted: &[Authority]) -> Result<Vec<Secret>, Error> {
    wanted
        .iter()
        .map(|authority| generate_one(inputs, cluster, *authority))
        .collect()
}

fn generate_one(inputs: &Inputs, cluster: &Cluster, authority: Authority) -> Result<Secret, Error> {
    let plane = inputs.plane.as_ref();
    let (public, private) = match authority {
        Authority::ServiceAccount => {
            let keys = pki::generate_service_account_keys().map_err(Error::Pki)?;
            (keys.public_pem, keys.private_pem)
        }
        Authority::Cluster | Authority::Etcd | Authority::FrontProxy => {
            let pair = pki::generate_ca(COMMON_NAME, inputs.now).map_err(Error::Pki)?;
            (pair.cert_pem, pair.key_pem)
        }
    };
    Ok(secrets::cluster_secret(
        &plane.namespace().unwrap_or_default(),
        &authority.secret_name(&cluster.name_any()),
        &cluster.name_any(),
        [
            (contract::TLS_CRT, public),
            (contract::TLS_KEY, private.expose_secret().to_owned()),
        ],
        plane.controller_owner_ref(&()),
    ))
}

/// The administrator's kubeconfig, signed by the cluster's authority: the one that was read, or a new one.
pub fn kubeconfig(
    inputs: &Inputs,
    cluster: &Cluster,
    generated: &[Secret],
) -> Result<KubeconfigWrite, Error> {
    let name = cluster.name_any();
    let authority = contract::cluster_ca(&name);
    let secret = inputs
        .authorities
        .get(&Authority::Cluster)
        .or_else(|| generated.iter().find(|secret| secret.name_any() == authority))
        .ok_or(Error::Incomplete)?;
    let text = |key| secrets::text(secret, key).ok_or(Error::Incomplete);
    let pair = CertificateAuthority {
        cert_pem: text(contract::TLS_CRT)?,
        key_pem: text(contract::TLS_KEY)?.into(),
    };
    let server = endpoint_url(inputs).ok_or(Error::Incomplete)?;
    let content =
        kubeconfig::admin_kubeconfig(&name, &server, None, &pair, inputs.now).map_err(Error::Pki)?;
    if let Some(present) = &inputs.kubeconfig {
        return Ok(KubeconfigWrite::Reissue {
            present: Box::new(present.clone()),
            content,
        });
    }
    let plane = inputs.plane.as_ref();
    let mut secret = secrets::cluster_secret(
        &plane.namespace().unwrap_or_default(),
        &contract::kubeconfig(&name),
        &name,
        [(contract::VALUE, content.expose_secret().to_owned())],
        // Owned by the Cluster and controlled by nobody, as the original has it.
        cluster.owner_ref(&()),
    );
    let metadata = plane.spec.kubeconfig_secret_metadata.clone().unwrap_or_default();
    let labels = secret.metadata.labels.get_or_insert_default();
    for (key, value) in metadata.labels {
        // Last word: Cluster API does not see the Secret without its own label.
        labels.entry(key).or_insert(value);
    }
    if !metadata.annotations.is_empty() {
        secret.metadata.annotations = Some(metadata.annotations);
    }
    Ok(KubeconfigWrite::Create(Box::new(secret)))
}
