//! Join tokens: the Secret in `kube-system`, and its encoding as a gzipped kubeconfig.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
    config::Kubeconfig,
};
use rand::RngExt as _;
use serde_json::json;

use crate::{
    api,
    cli::{Role, TokenCommand},
    config::{NodeConfig, Storage},
    go::parse_duration,
    kubeconfig::{Names, render},
    paths::Paths,
    runtime_config::effective_paths,
    status,
};

/// The user name in a worker's token.
pub const WORKER_USER: &str = "kubelet-bootstrap";
/// The user name in a controller's token.
pub const CONTROLLER_USER: &str = "controller-bootstrap";

/// Decodes a join token to its kubeconfig, and checks that it is for the given user.
pub fn decode(token: &str, expected_user: &str) -> Result<String> {
    let compressed = BASE64
        .decode(token.trim())
        .context("failed to decode join token")?;
    let mut kubeconfig = String::new();
    GzDecoder::new(compressed.as_slice())
        .read_to_string(&mut kubeconfig)
        .context("failed to decode join token")?;
    let parsed = Kubeconfig::from_yaml(&kubeconfig).context("failed to load kubeconfig from join token")?;
    let user = parsed
        .contexts
        .iter()
        .find_map(|context| context.context.as_ref()?.user.clone())
        .unwrap_or_default();
    if user != expected_user {
        bail!("wrong token type {user}, expected type: {expected_user}");
    }
    Ok(kubeconfig)
}

/// The reverse of [`decode`].
pub fn encode(kubeconfig: &str) -> Result<String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(kubeconfig.as_bytes())?;
    Ok(BASE64.encode(encoder.finish()?))
}

/// The token from the argument, the environment or the file; more than one source is an error, none is `None`.
pub fn read_source(argument: Option<&str>, file: Option<&std::path::Path>) -> Result<Option<String>> {
    let environment = std::env::var("K0S_TOKEN").ok().filter(|token| !token.is_empty());
    let sources = [argument.is_some(), environment.is_some(), file.is_some()];
    if sources.iter().filter(|given| **given).count() > 1 {
        bail!(
            "you can only pass one token source: either as a CLI argument, via '--token-file [path]', or via the \
             K0S_TOKEN environment variable"
        );
    }
    if let Some(token) = argument.map(str::to_owned).or(environment) {
        return Ok(Some(token));
    }
    let Some(file) = file else { return Ok(None) };
    let problem = match std::fs::read_to_string(file) {
        Ok(token) if token.is_empty() => "is empty",
        Ok(token) => return Ok(Some(token)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "not found",
        Err(error) => return Err(error).context("failed to read token file"),
    };
    bail!(
        "token file {:?} {problem}: obtain a new token via \"k0s token create\"",
        file.display().to_string()
    )
}

/// `k0s token create|invalidate|list`.
pub async fn run(command: &TokenCommand) -> Result<()> {
    match command {
        TokenCommand::Create {
            instance,
            role,
            expiry,
            wait,
        } => {
            let paths = effective_paths(instance.paths(None)?)?;
            let life = parse_duration(expiry)?;
            let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
            loop {
                match create(&paths, *role, life).await {
                    Ok(token) => {
                        println!("{token}");
                        return Ok(());
                    }
                    Err(error) if !wait || tokio::time::Instant::now() > deadline => return Err(error),
                    Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
                }
            }
        }
        TokenCommand::Invalidate { instance, ids } => {
            let secrets = secrets(&effective_paths(instance.paths(None)?)?).await?;
            for id in ids {
                match secrets
                    .delete(&format!("bootstrap-token-{id}"), &DeleteParams::default())
                    .await
                {
                    Ok(_) => {}
                    Err(error) if api::is_not_found(&error) => {}
                    Err(error) => return Err(error.into()),
                }
                println!("token {id} deleted successfully");
            }
        }
        TokenCommand::List { instance, role } => {
            let secrets = secrets(&effective_paths(instance.paths(None)?)?).await?;
            let parameters = ListParams::default().fields("type=bootstrap.kubernetes.io/token");
            println!("ID\tRole\tExpires at");
            for secret in secrets.list(&parameters).await? {
                let kind = if has_usage(&secret, "controller-join") {
                    Role::Controller
                } else {
                    Role::Worker
                };
                if role.is_none_or(|wanted| wanted == kind) {
                    let id = secret.name_any().replace("bootstrap-token-", "");
                    let name = if kind == Role::Controller {
                        "controller"
                    } else {
                        "worker"
                    };
                    println!(
                        "{id}\t{name}\t{}",
                        field(&secret, "expiration").unwrap_or_default()
                    );
                }
            }
        }
    }
    Ok(())
}

async fn secrets(paths: &Paths) -> Result<Api<Secret>> {
    Ok(Api::namespaced(
        api::client(&paths.admin_kubeconfig()).await?,
        "kube-system",
    ))
}

async fn create(paths: &Paths, role: Role, life: Duration) -> Result<String> {
    let running = status::fetch(&paths.status_socket_path)
        .await
        .context("failed to get k0s status")?;
    if running.single_node {
        bail!("refusing to create token: cannot join into a single node cluster");
    }
    // What runs is what counts, whatever the configuration file says by now.
    let storage = running
        .cluster_config
        .as_ref()
        .and_then(|config| config.pointer("/spec/storage").cloned())
        .and_then(|storage| serde_json::from_value::<Storage>(storage).ok());
    if role == Role::Controller && storage.is_some_and(|storage| !storage.is_joinable()) {
        bail!("refusing to create token: cannot join controller into current storage");
    }
    let node = NodeConfig::load(paths)?;
    let ca = std::fs::read_to_string(paths.pki("ca.crt"))
        .context("failed to read cluster CA; check if the control plane is initialized on this node")?;
    let (id, secret) = (random(6), random(16));
    let (description, usages, user, server) = match role {
        Role::Worker => (
            "Worker bootstrap token generated by k0s",
            json!({"usage-bootstrap-authentication": "true"}),
            WORKER_USER,
            node.spec.api.server_url(),
        ),
        Role::Controller => (
            "Controller bootstrap token generated by k0s",
            json!({"usage-bootstrap-controller-join": "true", "usage-controller-join": "true"}),
            CONTROLLER_USER,
            node.spec.api.join_url(),
        ),
    };
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {"token-id": id, "token-secret": secret, "description": description},
    });
    if let Some(data) = object
        .get_mut("stringData")
        .and_then(serde_json::Value::as_object_mut)
    {
        data.extend(usages.as_object().cloned().unwrap_or_default());
        if !life.is_zero() {
            let expiration = jiff::Timestamp::now() + jiff::SignedDuration::try_from(life)?;
            data.insert(
                "expiration".to_owned(),
                json!(expiration.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            );
        }
    }
    let object: Secret = serde_json::from_value(object)?;
    secrets(paths)
        .await?
        .create(&PostParams::default(), &object)
        .await?;
    let names = Names {
        cluster: "k0s",
        context: "k0s",
        user,
    };
    encode(&render(
        &names,
        &server,
        &ca,
        &json!({"token": format!("{id}.{secret}")}),
    )?)
}

fn random(length: usize) -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut generator = rand::rng();
    (0..length)
        .filter_map(|_| ALPHABET.get(generator.random_range(0..ALPHABET.len())))
        .map(|byte| char::from(*byte))
        .collect()
}

/// Whether a bearer token is a live bootstrap token with the given usage, as the join API asks it.
pub async fn is_valid(client: &Client, bearer: &str, usage: &str) -> bool {
    let Some((id, secret)) = bearer.split_once('.') else {
        return false;
    };
    let well_formed = |text: &str, length: usize| {
        text.len() == length
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if !well_formed(id, 6) || !well_formed(secret, 16) {
        return false;
    }
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "kube-system");
    let Ok(object) = secrets.get(&format!("bootstrap-token-{id}")).await else {
        return false;
    };
    if object.type_.as_deref() != Some("bootstrap.kubernetes.io/token")
        || field(&object, "token-id").as_deref() != Some(id)
        || field(&object, "token-secret").as_deref() != Some(secret)
    {
        return false;
    }
    let expired = field(&object, "expiration").is_some_and(|text| {
        text.parse::<jiff::Timestamp>()
            .map_or(true, |end| end <= jiff::Timestamp::now())
    });
    !expired && has_usage(&object, usage)
}

/// k0s accepts a usage in its modern and in its legacy spelling.
fn has_usage(secret: &Secret, usage: &str) -> bool {
    [format!("usage-bootstrap-{usage}"), format!("usage-{usage}")]
        .iter()
        .any(|key| field(secret, key).as_deref() == Some("true"))
}

fn field(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_encoding_and_is_refused_for_the_other_role() {
        let names = Names {
            cluster: "k0s",
            context: "k0s",
            user: WORKER_USER,
        };
        let kubeconfig = render(
            &names,
            "https://10.88.0.10:6443",
            "PEM",
            &json!({"token": "abcdef.0123456789abcdef"}),
        )
        .unwrap();
        let token = encode(&kubeconfig).unwrap();
        assert_eq!(decode(&format!("{token}\n"), WORKER_USER).unwrap(), kubeconfig);
        let error = decode(&token, CONTROLLER_USER).unwrap_err().to_string();
        assert_eq!(
            error,
            "wrong token type kubelet-bootstrap, expected type: controller-bootstrap"
        );
        assert!(decode("nonsense", WORKER_USER).is_err());
    }

    #[test]
    fn usages_count_in_both_spellings() {
        let secret = |key: &str| -> Secret {
            serde_json::from_value(json!({"data": {key: BASE64.encode("true")}})).unwrap()
        };
        assert!(has_usage(&secret("usage-controller-join"), "controller-join"));
        assert!(has_usage(
            &secret("usage-bootstrap-controller-join"),
            "controller-join"
        ));
        assert!(!has_usage(
            &secret("usage-bootstrap-authentication"),
            "controller-join"
        ));
    }
}
