//! An API server with all our kinds and their webhooks, and managers that serve these.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser as _;
use http::Request;
use k0smotron_api::{
    capi,
    webhooks::{self, KINDS, Kind, Provider},
};
use k0smotron_e2e_plane::{ApiServer, Options, free_port, managers, manifests};
use k8s_openapi::{
    api::{
        admissionregistration::v1::{
            MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
        },
        core::v1::Namespace,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        CustomResourceDefinition, WebhookClientConfig as ConversionClientConfig,
    },
};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
    client::Body,
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// Names that an installation of everything in one has.
pub const VALIDATING: &str = "k0smotron-validating-webhook-configuration";
const MUTATING: &str = "k0smotron-mutating-webhook-configuration";
/// Where the manager keeps its certificate.
pub const NAMESPACE: &str = "k0smotron";
/// Longest that anything may take; far beyond what it takes.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Our definitions as a release has them that knows v1beta1 only.
#[must_use]
pub fn definitions_before_v1beta2() -> Vec<CustomResourceDefinition> {
    let mut definitions = k0smotron_api::crds();
    for definition in &mut definitions {
        let spec = &mut definition.spec;
        spec.conversion = None;
        spec.versions.retain(|version| version.name == "v1beta1");
        spec.versions
            .iter_mut()
            .for_each(|version| version.storage = true);
    }
    definitions
}

/// See the module's header.
pub struct Served {
    pub server: ApiServer,
    /// Of the webhooks, on loopback.
    pub port: u16,
}

impl Served {
    /// An API server without any of our objects.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start() -> Result<Self> {
        let server = ApiServer::start(&Options::default()).await?;
        let namespaces: Api<Namespace> = Api::all(server.client()?);
        let namespace = Namespace {
            metadata: named(NAMESPACE),
            ..Namespace::default()
        };
        namespaces.create(&PostParams::default(), &namespace).await?;
        Ok(Self {
            server,
            port: free_port()?,
        })
    }

    /// Our definitions, converted by the manager.
    pub fn definitions(&self) -> Vec<CustomResourceDefinition> {
        let mut definitions = k0smotron_api::crds();
        for definition in &mut definitions {
            let webhook = definition
                .spec
                .conversion
                .as_mut()
                .and_then(|conversion| conversion.webhook.as_mut());
            if let Some(webhook) = webhook {
                webhook.client_config = Some(ConversionClientConfig {
                    url: Some(format!("https://127.0.0.1:{}{}", self.port, webhooks::CONVERT)),
                    ..ConversionClientConfig::default()
                });
            }
        }
        definitions
    }

    /// Installs definitions and webhook configurations, as yet without a `caBundle`.
    ///
    /// # Errors
    /// One is refused.
    pub async fn install(&self) -> Result<()> {
        let client = self.server.client()?;
        manifests::apply_definitions(&client, &self.definitions()).await?;
        let redirect = |config: &mut WebhookClientConfig| {
            let path = config
                .service
                .take()
                .and_then(|service| service.path)
                .unwrap_or_default();
            config.url = Some(format!("https://127.0.0.1:{}{path}", self.port));
        };
        let mut validating = Vec::new();
        let mut mutating = Vec::new();
        for provider in Provider::ALL {
            validating.extend(webhooks::validating(provider).webhooks.into_iter().flatten());
            mutating.extend(
                webhooks::mutating(provider)
                    .and_then(|all| all.webhooks)
                    .into_iter()
                    .flatten(),
            );
        }
        validating
            .iter_mut()
            .for_each(|webhook| redirect(&mut webhook.client_config));
        mutating
            .iter_mut()
            .for_each(|webhook| redirect(&mut webhook.client_config));
        let validating = ValidatingWebhookConfiguration {
            metadata: named(VALIDATING),
            webhooks: Some(validating),
        };
        let mutating = MutatingWebhookConfiguration {
            metadata: named(MUTATING),
            webhooks: Some(mutating),
        };
        Api::all(client.clone())
            .create(&PostParams::default(), &validating)
            .await?;
        Api::all(client).create(&PostParams::default(), &mutating).await?;
        Ok(())
    }

    /// Starts a manager, and does not wait until it is ready.
    ///
    /// # Errors
    /// There is no runtime for it, or the last one does not give the port back.
    pub async fn manager(&self) -> Result<Manager> {
        self.manager_with(&[]).await
    }

    /// As [`Served::manager`], with further arguments.
    ///
    /// # Errors
    /// As there.
    pub async fn manager_with(&self, arguments: &[String]) -> Result<Manager> {
        let (own, health) = self.arguments().await?;
        let program = "k0smotron-manager".to_owned();
        let all = std::iter::once(&program).chain(&own).chain(arguments);
        let options = k0smotron_manager::Options::try_parse_from(all)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.spawn(async move {
            if let Err(error) = k0smotron_manager::run(options, std::future::pending()).await {
                eprintln!("the manager ended: {error:#}");
            }
        });
        Ok(Manager {
            runtime: Some(runtime),
            _process: None,
            health,
        })
    }

    /// As [`Served::manager`], the program that is shipped: what is measured is worth nothing without optimisation.
    ///
    /// # Errors
    /// As there, or it was not built.
    pub async fn shipped(&self) -> Result<Manager> {
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/k0smotron-manager");
        let (own, health) = self.arguments().await?;
        let process = Command::new(&binary)
            .args(own)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}: `make build` writes it", binary.display()))?;
        Ok(Manager {
            runtime: None,
            _process: Some(process),
            health,
        })
    }

    /// Arguments of a manager, and the port where it says how it is; once the last one has given its port back.
    async fn arguments(&self) -> Result<(Vec<String>, u16)> {
        until("the port is free", async || {
            Ok(std::net::TcpListener::bind(("::", self.port))
                .is_ok()
                .then_some(()))
        })
        .await?;
        let health = free_port()?;
        let own = vec![
            format!("--kubeconfig={}", self.server.kubeconfig().display()),
            format!("--webhook-port={}", self.port),
            format!("--health-probe-bind-address=127.0.0.1:{health}"),
            "--diagnostics-address=0".to_owned(),
        ];
        Ok((own, health))
    }
}

/// A manager in a runtime or a process of its own; dropping it is a crash.
pub struct Manager {
    runtime: Option<tokio::runtime::Runtime>,
    _process: Option<Child>,
    health: u16,
}

impl Manager {
    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> bool {
        managers::get(self.health, "/readyz").await.is_ok()
    }

    /// # Errors
    /// It is not within a minute.
    pub async fn ready(&self) -> Result<()> {
        until("the manager is ready", async || {
            Ok(self.is_ready().await.then_some(()))
        })
        .await
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An API server with our definitions and without webhooks, which does not convert.
///
/// # Errors
/// It does not start.
pub async fn without_webhooks(options: &Options) -> Result<ApiServer> {
    let server = ApiServer::start(options).await?;
    let mut definitions = k0smotron_api::crds();
    definitions
        .iter_mut()
        .for_each(|definition| definition.spec.conversion = None);
    manifests::apply_definitions(&server.client()?, &definitions).await?;
    Ok(server)
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

/// The API of a document's kind and version.
///
/// # Errors
/// It is none of our kinds, nor of Cluster API.
pub fn api_of(client: &Client, document: &Value, namespace: &str) -> Result<Api<DynamicObject>> {
    let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').context("no group")?;
    let plural = if group == capi::GROUP {
        format!("{}s", text("kind").to_lowercase())
    } else {
        kind(group, text("kind"))?.plural.to_owned()
    };
    let gvk = GroupVersionKind::gvk(group, version, text("kind"));
    let resource = ApiResource::from_gvk_with_plural(&gvk, &plural);
    Ok(Api::namespaced_with(client.clone(), namespace, &resource))
}

/// # Errors
/// It is none of our kinds.
pub fn kind(group: &str, name: &str) -> Result<&'static Kind> {
    let found = KINDS.iter().find(|kind| kind.group == group && kind.kind == name);
    found.with_context(|| format!("{name} of {group} is none of our kinds"))
}

/// Creates or replaces, as `kubectl create` and `kubectl replace` do with `--validate=strict`. The answer is what the API
/// server warns of.
///
/// # Errors
/// The API server's.
pub async fn write(client: &Client, document: &Value, namespace: &str) -> Result<Vec<String>> {
    loop {
        let response = try_to_write(client, document, namespace).await?;
        let (parts, body) = response.into_parts();
        // Controllers write, too.
        if parts.status == http::StatusCode::CONFLICT {
            continue;
        }
        if !parts.status.is_success() {
            let status: Value = serde_json::from_slice(&body.collect_bytes().await?)?;
            bail!(
                "{}",
                status.get("message").and_then(Value::as_str).unwrap_or_default()
            );
        }
        // `299 - "text"`, quoted as Go does it.
        let warnings = parts.headers.get_all("warning").into_iter().filter_map(|header| {
            let (_, quoted) = header.to_str().ok()?.split_once('"')?;
            Some(quoted.trim_end_matches('"').replace("\\\"", "\""))
        });
        return Ok(warnings.collect());
    }
}

async fn try_to_write(client: &Client, document: &Value, namespace: &str) -> Result<http::Response<Body>> {
    let name = document.pointer("/metadata/name").and_then(Value::as_str);
    let name = name.unwrap_or_default();
    let api = api_of(client, document, namespace)?;
    let url = api.resource_url();
    let mut document = document.clone();
    let request = match api.get_opt(name).await? {
        None => Request::post(format!("{url}?fieldValidation=Strict")),
        Some(stored) => {
            let metadata = document.pointer_mut("/metadata").and_then(Value::as_object_mut);
            let version = json!(stored.resource_version());
            metadata
                .context("no metadata")?
                .insert("resourceVersion".to_owned(), version);
            Request::put(format!("{url}/{name}?fieldValidation=Strict"))
        }
    };
    let request = request
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&document)?.into())?;
    Ok(client.send(request).await?)
}

/// `kubectl apply --server-side --validate=strict`, as `manager`.
///
/// # Errors
/// The API server's.
pub async fn apply(
    client: &Client,
    document: &Value,
    namespace: &str,
    manager: &str,
) -> Result<DynamicObject> {
    let name = document
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .context("no name")?;
    let parameters = PatchParams::apply(manager).force().validation_strict();
    let api = api_of(client, document, namespace)?;
    match api.patch(name, &parameters, &Patch::Apply(document)).await {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status)) => bail!("{}", status.message),
        Err(error) => Err(error.into()),
    }
}

/// Stores an object as `manager` has made it, and then the status that its controllers have reported.
///
/// # Errors
/// The API server's.
pub async fn store(client: &Client, document: &Value, namespace: &str, manager: &str) -> Result<()> {
    let mut document = document.clone();
    let status = document
        .as_object_mut()
        .and_then(|fields| fields.remove("status"));
    let stored = apply(client, &document, namespace, manager).await?;
    if let Some(status) = status {
        let patch = Patch::Merge(json!({ "status": status }));
        api_of(client, &document, namespace)?
            .patch_status(&stored.name_any(), &PatchParams::default(), &patch)
            .await?;
    }
    Ok(())
}

/// Makes a namespace.
///
/// # Errors
/// The API server's.
pub async fn namespace(client: &Client, name: &str) -> Result<()> {
    let namespace = Namespace {
        metadata: named(name),
        ..Namespace::default()
    };
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await?;
    Ok(())
}

/// What of `expected` is not in `found`, which may say more: the first path, and both values there.
pub fn missing(expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected.iter().find_map(|(key, value)| {
            let missing = missing(value, found.get(key).unwrap_or(&Value::Null))?;
            Some(format!(".{key}{missing}"))
        }),
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => expected
            .iter()
            .zip(found)
            .enumerate()
            .find_map(|(index, (expected, found))| Some(format!("[{index}]{}", missing(expected, found)?))),
        _ => (expected != found).then(|| format!(": {found}, not {expected}")),
    }
}

/// Asks until there is an answer.
///
/// # Errors
/// There is none within a minute, or asking fails.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        ensure!(begun.elapsed() < LIMIT, "{what}: not so after {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Names of the definitions that have a `caBundle` where they need one, and those that lack it.
///
/// # Errors
/// The API server's.
pub async fn trusting(client: &Client) -> Result<(Vec<String>, Vec<String>)> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let all = api.list(&kube::api::ListParams::default()).await?;
    let (mut have, mut lack) = (Vec::new(), Vec::new());
    for definition in all {
        let config = definition
            .spec
            .conversion
            .as_ref()
            .and_then(|conversion| conversion.webhook.as_ref()?.client_config.as_ref());
        if let Some(config) = config {
            let list = if config.ca_bundle.is_some() {
                &mut have
            } else {
                &mut lack
            };
            list.push(definition.name_any());
        }
    }
    Ok((have, lack))
}
