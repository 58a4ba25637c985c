//! Names and labels of what belongs to a control plane in pods: those that users, tools and earlier releases know, which
//! may therefore never change. Pure.

use std::collections::BTreeMap;

use k0smotron_api::{
    k0smotron::v1beta2::{Cluster, ServiceType},
    names::labels,
};
use kube::ResourceExt;
use md5::{Digest, Md5};

/// Labels, and values of them.
pub type Labels = BTreeMap<String, String>;

/// Label and value that everything of every control plane bears.
pub const APP: (&str, &str) = ("app", "k0smotron");
/// Label with the control plane's name.
pub const CLUSTER: &str = "cluster";
/// Label that tells pods of etcd from all the rest, within selectors.
const COMPONENT: &str = "component";
/// A DNS label has 63 characters; longer names are cut to 57 and get a hyphen and 5 characters of their digest.
const MAX_LENGTH: usize = 63;
const CUT_LENGTH: usize = 57;
const DIGEST_LENGTH: usize = 5;

/// Component of an object, as its label [`labels::COMPONENT`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    ClusterConfig,
    ControlPlane,
    Etcd,
    Kubeconfig,
    Telemetry,
}

impl Component {
    fn value(self) -> &'static str {
        match self {
            Self::ClusterConfig => "cluster-config",
            Self::ControlPlane => "control-plane",
            Self::Etcd => "etcd",
            Self::Kubeconfig => "kubeconfig",
            Self::Telemetry => "telemetry",
        }
    }
}

/// The names of one control plane's objects.
#[derive(Clone, Debug)]
pub struct Names {
    pub cluster: String,
    pub namespace: String,
}

impl Names {
    pub fn of(plane: &Cluster) -> Self {
        Self {
            cluster: plane.name_any(),
            namespace: plane.namespace().unwrap_or_default(),
        }
    }

    fn with(&self, suffix: &str) -> String {
        short(&format!("kmc-{}{suffix}", self.cluster))
    }

    /// StatefulSet of k0s; also the volume of its data directory.
    pub fn k0s(&self) -> String {
        self.with("")
    }

    /// Service in front of k0s.
    pub fn service(&self, kind: ServiceType) -> String {
        match kind {
            ServiceType::ClusterIp => self.with(""),
            ServiceType::NodePort => self.with("-nodeport"),
            ServiceType::LoadBalancer => self.with("-lb"),
        }
    }

    /// ConfigMap with the k0s configuration.
    pub fn config(&self) -> String {
        self.with("-config")
    }

    /// ConfigMap with the start script of planes of earlier releases.
    pub fn entrypoint(&self) -> String {
        short(&format!("kmc-entrypoint-{}-config", self.cluster))
    }

    /// ConfigMap, and volume, with the manifest that tells k0s' telemetry who hosts it.
    pub fn telemetry(&self) -> String {
        self.with("-telemetry-config")
    }

    /// ConfigMap, and volume, with the manifest that tells the cluster its own endpoint.
    pub fn endpoint(&self) -> String {
        self.with("-endpoint")
    }

    /// StatefulSet of etcd and its headless Service.
    pub fn etcd(&self) -> String {
        self.with("-etcd")
    }

    /// Service by which k0s reaches etcd: unlike a headless one it can be looked up before there is any pod, and leads to
    /// members that answer.
    pub fn etcd_client(&self) -> String {
        self.with("-etcd-client")
    }

    /// ConfigMap with what members of etcd are started with.
    pub fn etcd_membership(&self) -> String {
        self.with("-etcd-membership")
    }

    /// Claim of a member of etcd.
    pub fn etcd_claim(&self, ordinal: usize) -> String {
        format!("etcd-data-{}-{ordinal}", self.etcd())
    }

    /// Pod of a member of etcd, which is the member's name too.
    pub fn etcd_pod(&self, ordinal: usize) -> String {
        format!("{}-{ordinal}", self.etcd())
    }

    /// Ordinal of a pod of etcd.
    pub fn etcd_ordinal(&self, pod: &str) -> Option<usize> {
        pod.strip_prefix(&self.etcd())?.strip_prefix('-')?.parse().ok()
    }

    /// By which members reach a member.
    pub fn etcd_peer_url(&self, ordinal: usize) -> String {
        format!("https://{}.{}:2380", self.etcd_pod(ordinal), self.etcd())
    }

    /// Selects everything of this control plane.
    pub fn selector(&self) -> String {
        format!("{}={},{CLUSTER}={}", APP.0, APP.1, self.cluster)
    }
}

/// The labels that every object bears: those by which it is found, and the user's.
pub fn base(plane: &Cluster) -> Labels {
    let mut labels = plane.labels().clone();
    // Would make selectors and pods disagree.
    labels.remove(labels::COMPONENT);
    labels.insert(APP.0.to_owned(), APP.1.to_owned());
    labels.insert(CLUSTER.to_owned(), plane.name_any());
    labels.insert(COMPONENT.to_owned(), "cluster".to_owned());
    labels
}

/// Selector of the pods of k0s, where none stands in their StatefulSet yet.
pub fn k0s_selector(plane: &Cluster) -> Labels {
    let mut labels = base(plane);
    labels.insert(
        labels::CONTROL_PLANE.to_owned(),
        labels::CONTROL_PLANE_VALUE.to_owned(),
    );
    labels
}

/// Selector of the pods of etcd, where none stands in their StatefulSet yet.
pub fn etcd_selector(plane: &Cluster) -> Labels {
    let mut labels = base(plane);
    labels.insert(COMPONENT.to_owned(), "etcd".to_owned());
    labels
}

/// The labels of an object: some, and its component.
pub fn with_component(mut labels: Labels, component: Component) -> Labels {
    labels.insert(labels::COMPONENT.to_owned(), component.value().to_owned());
    labels
}

/// A name that fits into 63 characters.
fn short(name: &str) -> String {
    if name.len() <= MAX_LENGTH {
        return name.to_owned();
    }
    let digest = Md5::digest(name.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let cut = name.get(..CUT_LENGTH).unwrap_or(name);
    format!("{cut}-{}", hex.get(..DIGEST_LENGTH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(yaml: &str) -> Cluster {
        serde_yaml::from_str(&format!(
            "apiVersion: k0smotron.io/v1beta2\nkind: Cluster\nmetadata: {{name: basic, namespace: ns, {yaml}}}\nspec: {{}}\n"
        ))
        .unwrap()
    }

    /// As they have always been: scripts and other tools use them.
    #[test]
    fn names_that_users_know() {
        let names = Names::of(&plane(""));
        let all = [
            names.k0s(),
            names.service(ServiceType::ClusterIp),
            names.service(ServiceType::NodePort),
            names.service(ServiceType::LoadBalancer),
            names.config(),
            names.entrypoint(),
            names.telemetry(),
            names.endpoint(),
            names.etcd(),
            names.etcd_claim(2),
            names.etcd_peer_url(0),
        ];
        assert_eq!(
            all,
            [
                "kmc-basic",
                "kmc-basic",
                "kmc-basic-nodeport",
                "kmc-basic-lb",
                "kmc-basic-config",
                "kmc-entrypoint-basic-config",
                "kmc-basic-telemetry-config",
                "kmc-basic-endpoint",
                "kmc-basic-etcd",
                "etcd-data-kmc-basic-etcd-2",
                "https://kmc-basic-etcd-0.kmc-basic-etcd:2380",
            ]
        );
        assert_eq!(names.etcd_ordinal("kmc-basic-etcd-12"), Some(12));
        assert_eq!(names.etcd_ordinal("kmc-basic-0"), None);
    }

    #[test]
    fn long_names_are_cut_as_they_always_were() {
        let long = "kmc-prometheus-dk-enc-nodes-basic-sep17-v5-lg5hz-njttw-config-nginx";
        let cut = "kmc-prometheus-dk-enc-nodes-basic-sep17-v5-lg5hz-njttw-co";
        assert_eq!(short(long), format!("{cut}-c79c4"));
        assert_eq!(short(&format!("{long}2")), format!("{cut}-a85e8"));
        assert_eq!(short(&"a".repeat(63)), "a".repeat(63));
    }

    #[test]
    fn labels_of_users_come_along_and_never_win() {
        let plane = plane("labels: {team: a, app: mine, app.kubernetes.io/component: mine}");
        let text = |labels: Labels| {
            let pairs: Vec<_> = labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            pairs.join(",")
        };
        assert_eq!(
            text(k0s_selector(&plane)),
            "app=k0smotron,cluster=basic,cluster.x-k8s.io/control-plane=true,component=cluster,team=a"
        );
        assert_eq!(
            text(with_component(etcd_selector(&plane), Component::Etcd)),
            "app=k0smotron,app.kubernetes.io/component=etcd,cluster=basic,component=etcd,team=a"
        );
    }
}
