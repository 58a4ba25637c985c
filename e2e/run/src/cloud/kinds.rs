//! The kinds of the provider, and how each contract wants to be told what there is.

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

const GROUP: &str = "infrastructure.cluster.x-k8s.io";
const VERSION: &str = "v1alpha1";

/// Which version of Cluster API's contract the kinds say to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    V1Beta1,
    V1Beta2,
}

/// Infrastructure of a Cluster: an endpoint.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1alpha1",
    kind = "CloudCluster",
    namespaced,
    schema = "disabled"
)]
#[kube(status = "Value")]
pub struct CloudClusterSpec {}

/// A machine that boots from user data.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1alpha1",
    kind = "CloudMachine",
    namespaced,
    schema = "disabled"
)]
#[kube(status = "Value")]
pub struct CloudMachineSpec {}

/// What there is of a machine, in the words of a contract.
pub struct Provided {
    pub spec: Value,
    pub status: Value,
}

impl Contract {
    fn name(self) -> &'static str {
        match self {
            Self::V1Beta1 => "v1beta1",
            Self::V1Beta2 => "v1beta2",
        }
    }

    pub fn is_provisioned(self, status: Option<&Value>) -> bool {
        let field = match self {
            Self::V1Beta1 => "/ready",
            Self::V1Beta2 => "/initialization/provisioned",
        };
        let said = status.and_then(|status| status.pointer(field));
        said.and_then(Value::as_bool) == Some(true)
    }

    pub fn cluster_status(self, domains: &[&str]) -> Value {
        let domains = domains.iter();
        match self {
            Self::V1Beta1 => {
                let domains: Map<_, _> = domains
                    .map(|domain| ((*domain).to_owned(), json!({ "controlPlane": true })))
                    .collect();
                json!({ "ready": true, "failureDomains": domains })
            }
            Self::V1Beta2 => {
                let domains: Vec<_> = domains
                    .map(|domain| json!({ "name": domain, "controlPlane": true }))
                    .collect();
                json!({ "initialization": { "provisioned": true }, "failureDomains": domains })
            }
        }
    }

    pub fn machine(self, address: &str, name: &str, domain: &str) -> Provided {
        let provider_id = format!("cloud://{name}");
        let addresses = json!([
            { "type": "InternalIP", "address": address },
            { "type": "Hostname", "address": name },
        ]);
        match self {
            Self::V1Beta1 => Provided {
                spec: json!({ "providerID": provider_id, "failureDomain": domain }),
                status: json!({ "ready": true, "addresses": addresses }),
            },
            Self::V1Beta2 => Provided {
                spec: json!({ "providerID": provider_id }),
                status: json!({
                    "initialization": { "provisioned": true },
                    "addresses": addresses,
                    "failureDomain": domain,
                }),
            },
        }
    }
}

/// The definitions, labelled for the contract.
///
/// # Errors
/// Never, unless this module is wrong.
pub fn definitions(contract: Contract) -> Result<Vec<CustomResourceDefinition>> {
    let kinds = ["CloudCluster", "CloudMachine", "CloudMachineTemplate"];
    kinds.iter().map(|kind| definition(contract, kind)).collect()
}

fn definition(contract: Contract, kind: &str) -> Result<CustomResourceDefinition> {
    let plural = format!("{}s", kind.to_lowercase());
    // The other contract's label goes away when the definition is applied again.
    let labels = json!({ format!("cluster.x-k8s.io/{}", contract.name()): VERSION });
    Ok(serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{GROUP}"), "labels": labels },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List") },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            }],
        },
    }))?)
}
