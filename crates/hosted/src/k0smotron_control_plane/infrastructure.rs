//! Infrastructure of a Cluster that says `managed-by: k0smotron`: its own provider leaves it alone, and we owe it an endpoint
//! and the word that it is provisioned (contract IC2, IC4, IC8).

use k0smotron_api::{
    capi::{Cluster, ContractReference, Endpoint},
    names::annotations,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    core::ApiResource,
};
use serde_json::{Value, json};

use super::{Error, fetch::Sources};

/// Value of the annotation that hands the infrastructure to us.
const US: &str = "k0smotron";

/// Infrastructure that is ours to provision.
#[derive(Clone, Debug)]
pub struct Infrastructure {
    resource: ApiResource,
    contract: Contract,
    object: DynamicObject,
}

/// The contract that the definition of a kind follows, as its labels say (contract G5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contract {
    V1Beta1,
    V1Beta2,
}

/// Reads the Cluster's infrastructure, if it is ours to provision.
pub async fn read(
    cluster: &Cluster,
    namespace: &str,
    from: &Sources<'_>,
) -> Result<Option<Infrastructure>, Error> {
    let Some(ContractReference {
        api_group,
        kind,
        name,
    }) = &cluster.spec.infrastructure_ref
    else {
        return Ok(None);
    };
    let client = &from.context.client;
    let failed = |source| Error::Read {
        what: format!("{kind} {name}"),
        source,
    };
    let Some(resource) = from.kinds.api_of(client, api_group, kind).await.map_err(failed)? else {
        return Ok(None);
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let object = match api.get_opt(name).await {
        Ok(object) => object,
        // Of a group that we may not read: then it is not for us to write either.
        Err(kube::Error::Api(status)) if status.is_forbidden() => None,
        Err(source) => return Err(failed(source)),
    };
    let ours = |object: &DynamicObject| {
        object
            .annotations()
            .get(annotations::MANAGED_BY)
            .is_some_and(|by| by == US)
    };
    let Some(object) = object.filter(ours) else {
        return Ok(None);
    };
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = format!("{}.{}", resource.plural, resource.group);
    let definition = definitions.get_metadata(&definition).await.map_err(failed)?;
    let newest = definition.labels().contains_key("cluster.x-k8s.io/v1beta2");
    Ok(Some(Infrastructure {
        resource,
        contract: if newest {
            Contract::V1Beta2
        } else {
            Contract::V1Beta1
        },
        object,
    }))
}

impl Infrastructure {
    /// Gives it the endpoint and says that it is provisioned, unless it knows.
    pub async fn provision(&self, endpoint: &Endpoint, from: &kube::Client) -> Result<(), kube::Error> {
        let name = self.object.name_any();
        let namespace = self.object.namespace().unwrap_or_default();
        let api: Api<DynamicObject> = Api::namespaced_with(from.clone(), &namespace, &self.resource);
        let parameters = PatchParams::default();
        let (spec, status) = changes(self.contract, &self.object.data, endpoint);
        if let Some(spec) = spec {
            api.patch(&name, &parameters, &Patch::Merge(spec)).await?;
        }
        if let Some(status) = status {
            api.patch_status(&name, &parameters, &Patch::Merge(status))
                .await?;
        }
        Ok(())
    }
}

/// What is to be written to spec and status.
fn changes(contract: Contract, data: &Value, endpoint: &Endpoint) -> (Option<Value>, Option<Value>) {
    let known = data
        .pointer("/spec/controlPlaneEndpoint")
        .and_then(|value| serde_json::from_value::<Endpoint>(value.clone()).ok());
    let spec =
        json!({ "spec": { "controlPlaneEndpoint": { "host": endpoint.host, "port": endpoint.port } } });
    let (path, status) = match contract {
        Contract::V1Beta1 => ("/status/ready", json!({ "status": { "ready": true } })),
        Contract::V1Beta2 => (
            "/status/initialization/provisioned",
            json!({ "status": { "initialization": { "provisioned": true } } }),
        ),
    };
    let provisioned = data.pointer(path) == Some(&Value::Bool(true));
    (
        (known.as_ref() != Some(endpoint)).then_some(spec),
        (!provisioned).then_some(status),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_what_it_does_not_know() {
        let endpoint = Endpoint {
            host: "10.0.0.1".to_owned(),
            port: 30443,
        };
        let there = json!({ "controlPlaneEndpoint": { "host": "10.0.0.1", "port": 30443 } });
        for (contract, status, told) in [
            (
                Contract::V1Beta1,
                json!({ "ready": true }),
                json!({ "ready": true }),
            ),
            (
                Contract::V1Beta2,
                json!({ "initialization": { "provisioned": true } }),
                json!({ "initialization": { "provisioned": true } }),
            ),
        ] {
            let known = json!({ "spec": there, "status": status });
            assert_eq!(changes(contract, &known, &endpoint), (None, None));
            let (spec, said) = changes(contract, &json!({ "spec": {} }), &endpoint);
            assert_eq!(spec, Some(json!({ "spec": there })));
            assert_eq!(said, Some(json!({ "status": told })));
            let moved =
                json!({ "spec": { "controlPlaneEndpoint": { "host": "old", "port": 1 } }, "status": status });
            assert_eq!(
                changes(contract, &moved, &endpoint),
                (Some(json!({ "spec": there })), None)
            );
        }
    }
}
