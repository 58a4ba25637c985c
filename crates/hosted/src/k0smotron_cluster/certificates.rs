//! The Secrets with a control plane's authorities, keys and certificates: what is missing, what is to be renewed, and the
//! making of it. Pure but for the random keys.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k0smotron_api::{
    k0smotron::v1beta2::{CertificateType, Cluster},
    names::secrets as contract,
};
use k0smotron_k0s::pki::{self, CertificateAuthority, PeerFault, PeerRequest, PkiError, ServiceAccountKeys};
use k0smotron_runtime::secrets;
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};
use secrecy::{ExposeSecret, SecretString};

use super::names::Names;

/// Common name of the authorities, as they have always had it.
const COMMON_NAME: &str = "kubernetes";
/// Life of certificates of etcd, in days. Renewed when half of it is over; members take the new ones without a restart.
const LEAF_DAYS: i64 = 365;

/// What signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Authority {
    Cluster,
    ServiceAccount,
    FrontProxy,
    Etcd,
}

impl Authority {
    pub const ALL: [Self; 4] = [Self::Cluster, Self::ServiceAccount, Self::FrontProxy, Self::Etcd];

    fn kind(self) -> CertificateType {
        match self {
            Self::Cluster => CertificateType::Ca,
            Self::ServiceAccount => CertificateType::Sa,
            Self::FrontProxy => CertificateType::Proxy,
            Self::Etcd => CertificateType::Etcd,
        }
    }

    fn default_name(self, cluster: &str) -> String {
        match self {
            Self::Cluster => contract::cluster_ca(cluster),
            Self::ServiceAccount => contract::service_account_keys(cluster),
            Self::FrontProxy => contract::proxy_ca(cluster),
            Self::Etcd => contract::etcd_ca(cluster),
        }
    }

    /// The Secret: the one that the spec names, or the one named after the cluster. That of etcd is never another.
    pub fn secret_name(self, plane: &Cluster) -> String {
        let named = plane
            .spec
            .certificate_refs
            .iter()
            .find(|reference| reference.r#type == self.kind());
        match named {
            Some(reference) if !reference.name.is_empty() && self != Self::Etcd => reference.name.clone(),
            _ => self.default_name(&plane.name_any()),
        }
    }
}

/// A certificate that etcd's authority signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaf {
    /// With which k0s reaches etcd.
    Client,
    Server,
    Peer,
}

impl Leaf {
    pub const ALL: [Self; 3] = [Self::Client, Self::Server, Self::Peer];

    fn purpose(self) -> &'static str {
        match self {
            Self::Client => "apiserver-etcd-client",
            Self::Server => "etcd-server",
            Self::Peer => "etcd-peer",
        }
    }

    pub fn secret_name(self, cluster: &str) -> String {
        format!("{cluster}-{}", self.purpose())
    }
}

/// Names that members of etcd are reached by.
fn names_of_etcd(names: &Names) -> BTreeSet<String> {
    let mut sans = BTreeSet::from(["127.0.0.1".to_owned(), "localhost".to_owned()]);
    for service in [names.etcd(), names.etcd_client()] {
        for domain in ["", ".svc", ".svc.cluster.local"] {
            let name = match domain {
                "" => service.clone(),
                _ => format!("{service}.{}{domain}", names.namespace),
            };
            sans.insert(format!("*.{name}"));
            sans.insert(name);
        }
    }
    sans
}

fn request(leaf: Leaf, names: &Names) -> PeerRequest {
    PeerRequest {
        name: leaf.purpose().to_owned(),
        sans: names_of_etcd(names),
        days: LEAF_DAYS,
    }
}

/// What is to be done about the Secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub authorities: Vec<Authority>,
    /// With the reason, when there is one that does not do any more.
    pub leaves: Vec<(Leaf, Option<PeerFault>)>,
    /// What stands in the way, with the remedy.
    pub problems: Vec<String>,
}

/// Looks at the Secrets. `exists`: pods have been made with them, so that a missing one must not be made anew.
pub fn wanted(
    plane: &Cluster,
    names: &Names,
    secrets: &BTreeMap<String, Secret>,
    exists: bool,
    now: Timestamp,
) -> Wanted {
    let mut wanted = Wanted::default();
    for authority in Authority::ALL {
        let name = authority.secret_name(plane);
        match secrets.get(&name) {
            Some(secret) => {
                if let Err(problem) = check(authority, secret, now) {
                    wanted.problems.push(format!("Secret {name}: {problem}"));
                }
            }
            None if name != authority.default_name(&names.cluster) => wanted.problems.push(format!(
                "Secret {name}, which spec.certificateRefs names, does not exist: create it"
            )),
            None if exists => wanted.problems.push(format!(
                "Secret {name} is gone, and what was signed with it is still in use: restore it"
            )),
            None => wanted.authorities.push(authority),
        }
    }
    let etcd = secrets.get(&Authority::Etcd.secret_name(plane));
    let usable = wanted.problems.is_empty();
    for leaf in Leaf::ALL.into_iter().filter(|_| usable) {
        let Some(secret) = secrets.get(&leaf.secret_name(&names.cluster)) else {
            wanted.leaves.push((leaf, None));
            continue;
        };
        let text = |key| secrets::text(secret, key).unwrap_or_default();
        let authority = etcd.and_then(|secret| secrets::text(secret, contract::TLS_CRT));
        let fault = pki::peer_fault(
            &text(contract::TLS_CRT),
            &text(contract::TLS_KEY).into(),
            &authority.unwrap_or_default(),
            &request(leaf, names),
            now,
        );
        if fault.is_some() {
            wanted.leaves.push((leaf, fault));
        }
    }
    wanted
}

fn check(authority: Authority, secret: &Secret, now: Timestamp) -> Result<(), PkiError> {
    let text = |key| secrets::text(secret, key).unwrap_or_default();
    let (certificate, key) = (text(contract::TLS_CRT), text(contract::TLS_KEY));
    match authority {
        Authority::ServiceAccount => pki::validate_service_account_keys(&ServiceAccountKeys {
            public_pem: certificate,
            private_pem: key.into(),
        }),
        _ => pki::validate_ca(&pair(certificate, key), now).map(drop),
    }
}

fn pair(cert_pem: String, key: String) -> CertificateAuthority {
    CertificateAuthority {
        cert_pem,
        key_pem: key.into(),
    }
}

/// The authority in a Secret.
pub fn authority(secret: &Secret) -> CertificateAuthority {
    let text = |key| secrets::text(secret, key).unwrap_or_default();
    pair(text(contract::TLS_CRT), text(contract::TLS_KEY))
}

/// New Secrets, and new content of those that are there. What signs comes first.
#[derive(Default)]
pub struct Made {
    pub created: Vec<Secret>,
    pub renewed: Vec<Secret>,
}

/// Makes what is wanted.
///
/// # Errors
/// Keys or certificates cannot be made.
pub fn make(
    plane: &Cluster,
    names: &Names,
    secrets: &BTreeMap<String, Secret>,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Made, PkiError> {
    let mut made = Made::default();
    for authority in &wanted.authorities {
        let (public, private) = match authority {
            Authority::ServiceAccount => {
                let keys = pki::generate_service_account_keys()?;
                (keys.public_pem, keys.private_pem)
            }
            _ => {
                let pair = pki::generate_ca(COMMON_NAME, now)?;
                (pair.cert_pem, pair.key_pem)
            }
        };
        made.created.push(secret(
            plane,
            names,
            &authority.secret_name(plane),
            public,
            &private,
        ));
    }
    let etcd = Authority::Etcd.secret_name(plane);
    let signer = made.created.iter().find(|secret| secret.name_any() == etcd);
    let Some(signer) = signer.or_else(|| secrets.get(&etcd)).map(authority) else {
        return Ok(made);
    };
    for (leaf, _) in &wanted.leaves {
        let issued = pki::peer_certificate(&signer, &request(*leaf, names), now)?;
        let name = leaf.secret_name(&names.cluster);
        let new = secret(plane, names, &name, issued.cert_pem, &issued.key_pem);
        match secrets.get(&name) {
            None => made.created.push(new),
            Some(present) => {
                let renewed = Secret {
                    metadata: present.metadata.clone(),
                    ..new
                };
                made.renewed.push(renewed);
            }
        }
    }
    Ok(made)
}

fn secret(plane: &Cluster, names: &Names, name: &str, public: String, private: &SecretString) -> Secret {
    let data = [
        (contract::TLS_CRT, public),
        (contract::TLS_KEY, private.expose_secret().to_owned()),
    ];
    let owner = plane.controller_owner_ref(&());
    secrets::cluster_secret(&names.namespace, name, &names.cluster, data, owner)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn now() -> Timestamp {
        "2027-06-01T12:00:00Z".parse().unwrap()
    }

    fn plane(spec: &str) -> Cluster {
        serde_yaml::from_str(&format!(
            "apiVersion: k0smotron.io/v1beta2\nkind: Cluster\nmetadata: {{name: basic, namespace: ns, uid: u}}\nspec: {{{spec}}}\n"
        ))
        .unwrap()
    }

    fn by_name(made: Made) -> BTreeMap<String, Secret> {
        let all = made.created.into_iter().chain(made.renewed);
        all.map(|secret| (secret.name_any(), secret)).collect()
    }

    #[test]
    fn everything_is_made_once_and_leaves_are_renewed() {
        let plane = plane("");
        let names = Names::of(&plane);
        let first = wanted(&plane, &names, &BTreeMap::new(), false, now());
        let mut present = by_name(make(&plane, &names, &BTreeMap::new(), &first, now()).unwrap());
        let all: Vec<_> = present.keys().cloned().collect();
        assert_eq!(
            all,
            [
                "basic-apiserver-etcd-client",
                "basic-ca",
                "basic-etcd",
                "basic-etcd-peer",
                "basic-etcd-server",
                "basic-proxy",
                "basic-sa"
            ]
        );
        assert_eq!(wanted(&plane, &names, &present, true, now()), Wanted::default());

        let later = now() + SignedDuration::from_hours(24 * 200);
        let again = wanted(&plane, &names, &present, true, later);
        assert_eq!(again.leaves.len(), 3);
        assert!(again.authorities.is_empty() && again.problems.is_empty());
        let made = make(&plane, &names, &present, &again, later).unwrap();
        assert!(made.created.is_empty());
        present.extend(by_name(made));
        assert_eq!(wanted(&plane, &names, &present, true, later), Wanted::default());
    }

    #[test]
    fn an_authority_that_signed_something_is_never_made_anew() {
        let plane = plane("");
        let names = Names::of(&plane);
        let lost = wanted(&plane, &names, &BTreeMap::new(), true, now());
        assert!(lost.authorities.is_empty() && lost.leaves.is_empty());
        assert_eq!(lost.problems.len(), 4);
        assert!(lost.problems.join(" ").contains("Secret basic-sa is gone"));
    }

    #[test]
    fn a_secret_that_the_user_names_is_the_users_to_make() {
        let plane = plane("certificateRefs: [{type: ca, name: mine}, {type: etcd, name: other}]");
        let names = Names::of(&plane);
        let found = wanted(&plane, &names, &BTreeMap::new(), false, now());
        assert!(!found.authorities.contains(&Authority::Cluster));
        assert!(found.authorities.contains(&Authority::Etcd));
        assert!(found.problems[0].contains("Secret mine, which spec.certificateRefs names"));
    }
}
