//! A Deployment run as a process: its arguments, the rights of its ServiceAccount, and addresses of this instance.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, Service, ServiceAccount};
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt};

use crate::kubeconfig::{self, Credential};
use crate::plane::Plane;
use crate::process::Spec;
use crate::webhooks::{self, Server};

/// The manager's container has this name by contract (CT12).
const CONTAINER: &str = "manager";
/// A plane may be left running for long, and a process never asks for a new token as a pod would.
const TOKEN_SECONDS: i64 = 365 * 24 * 3600;

/// Flags of the process that take the place of the Deployment's.
pub(crate) struct Overrides {
    /// Name without dashes, and value.
    pub(crate) flags: Vec<(&'static str, String)>,
    /// Flags of the Deployment that are left out.
    pub(crate) dropped: &'static [&'static str],
    pub(crate) webhooks: Server,
}

/// The Deployments of `namespace`, sorted by name.
pub(crate) async fn deployments(client: &Client, namespace: &str) -> Result<Vec<Deployment>> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let mut found = api
        .list(&ListParams::default())
        .await
        .context("cannot list Deployments")?
        .items;
    found.sort_by_key(ResourceExt::name_any);
    Ok(found)
}

/// Starts `program` as `deployment` would, with its webhooks redirected to the process; the answer is its name.
pub(crate) async fn start(
    plane: &Plane,
    deployment: &Deployment,
    program: &Path,
    overrides: &Overrides,
) -> Result<String> {
    let name = deployment.name_any();
    start_named(plane, &name, deployment, program, overrides)
        .await
        .with_context(|| format!("cannot run Deployment {name} as a process"))?;
    Ok(name)
}

async fn start_named(
    plane: &Plane,
    name: &str,
    deployment: &Deployment,
    program: &Path,
    overrides: &Overrides,
) -> Result<()> {
    let client = plane.client()?;
    let namespace = deployment.namespace().context("no namespace")?;
    let template = deployment.spec.as_ref().context("no spec")?.template.clone();
    let pod = template.spec.context("no pod spec")?;
    let container = pod
        .containers
        .iter()
        .find(|container| container.name == CONTAINER)
        .with_context(|| format!("no container named {CONTAINER}"))?;

    redirect(plane, deployment, overrides.webhooks).await?;
    let kubeconfig = kubeconfig_of(plane, &client, &namespace, name, &pod).await?;
    let mut args = overridden(&arguments(container), overrides);
    args.push(format!("--kubeconfig={}", kubeconfig.display()));
    let mut spec = Spec::new(name, program.to_owned(), args);
    for variable in container.env.iter().flatten() {
        if let Some(value) = value_of(variable, deployment) {
            spec.env.insert(variable.name.clone(), value);
        }
    }
    // Every manager of Cluster API wants to know these two, whether its Deployment says so or not.
    spec.env.insert("POD_NAMESPACE".to_owned(), namespace);
    spec.env.insert("POD_NAME".to_owned(), name.to_owned());
    plane.processes.ensure(&spec).await
}

/// Redirects the webhooks that the pods of `deployment` would serve.
pub(crate) async fn redirect(plane: &Plane, deployment: &Deployment, server: Server) -> Result<()> {
    let client = plane.client()?;
    let namespace = deployment.namespace().context("no namespace")?;
    let template = &deployment.spec.as_ref().context("no spec")?.template;
    let labels = template
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.labels.clone())
        .unwrap_or_default();
    for service in services_of(&client, &namespace, &labels).await? {
        webhooks::redirect(&client, (&namespace, &service), server, &plane.pki).await?;
    }
    Ok(())
}

/// Names of the Services whose endpoint the pod would be.
async fn services_of(
    client: &Client,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> Result<Vec<String>> {
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let services = api
        .list(&ListParams::default())
        .await
        .context("cannot list Services")?;
    let selects = |service: &Service| {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|selector| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
    };
    Ok(services
        .items
        .iter()
        .filter(|service| selects(service))
        .map(ResourceExt::name_any)
        .collect())
}

/// A kubeconfig with a fresh token of the pod's ServiceAccount.
///
/// Its name holds the account's UID: the tokens of one that was deleted and made again are worthless, so a process
/// that holds such a token differs from the wanted one, and is replaced.
async fn kubeconfig_of(
    plane: &Plane,
    client: &Client,
    namespace: &str,
    name: &str,
    pod: &PodSpec,
) -> Result<PathBuf> {
    let account = pod.service_account_name.as_deref().unwrap_or("default");
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let found = accounts
        .get(account)
        .await
        .with_context(|| format!("no ServiceAccount {account}"))?;
    let spec = TokenRequestSpec {
        expiration_seconds: Some(TOKEN_SECONDS),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest {
        spec,
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .with_context(|| format!("no token for ServiceAccount {account}"))?;
    let token = answer.status.context("a TokenRequest without token")?.token;
    let path = plane
        .directory()
        .join(format!("{name}-{}.kubeconfig", found.uid().unwrap_or_default()));
    let port = plane.ports().api_server();
    kubeconfig::write(&path, account, port, &plane.pki, Credential::Token(&token))?;
    Ok(path)
}

/// The command without the program, then the arguments.
fn arguments(container: &Container) -> Vec<String> {
    let command = container.command.iter().flatten().skip(1);
    command.chain(container.args.iter().flatten()).cloned().collect()
}

/// `args` with the overridden and dropped flags taken out, both `--flag=value` and `--flag value`, and ours at the end.
fn overridden(args: &[String], overrides: &Overrides) -> Vec<String> {
    let named = |arg: &str| {
        arg.starts_with('-')
            .then(|| arg.trim_start_matches('-').to_owned())
    };
    let is_out = |name: &str| {
        overrides.dropped.contains(&name) || overrides.flags.iter().any(|(flag, _)| *flag == name)
    };
    let mut kept = Vec::new();
    let mut args = args.iter().peekable();
    while let Some(arg) = args.next() {
        let Some(flag) = named(arg) else {
            kept.push(arg.clone());
            continue;
        };
        let (name, has_value) = flag
            .split_once('=')
            .map_or((flag.as_str(), false), |(name, _)| (name, true));
        if !is_out(name) {
            kept.push(arg.clone());
        } else if !has_value && args.peek().is_some_and(|next| !next.starts_with('-')) {
            args.next();
        }
    }
    kept.extend(
        overrides
            .flags
            .iter()
            .map(|(name, value)| format!("--{name}={value}")),
    );
    kept
}

/// What the variable would be in the pod; nothing for what only a kubelet knows.
fn value_of(variable: &EnvVar, deployment: &Deployment) -> Option<String> {
    if let Some(value) = &variable.value {
        return Some(value.clone());
    }
    match variable
        .value_from
        .as_ref()?
        .field_ref
        .as_ref()?
        .field_path
        .as_str()
    {
        "metadata.namespace" => deployment.namespace(),
        "metadata.name" => Some(deployment.name_any()),
        "metadata.uid" => deployment.uid(),
        "status.podIP" => Some("127.0.0.1".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Overrides, Server, overridden};
    use crate::webhooks::Certificates;

    #[test]
    fn our_flags_take_the_place_of_the_deployments() {
        let args = [
            "--leader-elect",
            "--health-addr=:9440",
            "-v",
            "2",
            "--metrics-addr",
            ":8080",
            "--namespace=",
        ];
        let overrides = Overrides {
            flags: vec![
                ("health-addr", "127.0.0.1:1".into()),
                ("leader-elect", "false".into()),
            ],
            dropped: &["metrics-addr"],
            webhooks: Server {
                address: "127.0.0.1:1".parse().unwrap(),
                replaced: "127.0.0.1:1".parse().unwrap(),
                certificates: Certificates::Own,
                failure_policy: None,
                unconverted: &[],
            },
        };
        let result = overridden(&args.map(str::to_owned), &overrides);
        assert_eq!(
            result,
            [
                "-v",
                "2",
                "--namespace=",
                "--health-addr=127.0.0.1:1",
                "--leader-elect=false"
            ]
        );
    }
}
