//! Join tokens: Secrets in the workload cluster by which a machine is let in.
//!
//! The id of a token follows from the name of the config it is for, so that whoever comes back after a crash finds the
//! token that was made instead of making another. The secret half is random and lives in the workload cluster only
//! (and in the bootstrap data). Pure but for the client calls at the end.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k0smotron_api::names::field_managers;
pub use k0smotron_k0s::token::Role;
use k0smotron_k0s::token::{self, BootstrapToken, SECRET_NAMESPACE as NAMESPACE, TokenError, secret_name};
use k0smotron_runtime::{
    Context, secrets,
    workload::{ClusterKey, DialError},
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

/// How long a token lets machines in.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// A token with less than this left is made anew, so that it outlasts the boot of a slow host.
const REMAINING: Duration = Duration::from_secs(60 * 60);
/// Annotation of a token: namespace and name of the config it is for.
const CONFIG_ANNOTATION: &str = "k0smotron.io/bootstrap-config";
/// Ids tried when others have a token under the first one. Two in a row are one in 36^6 already.
const ATTEMPTS: u32 = 4;

/// The config that a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct For {
    pub namespace: String,
    pub name: String,
}

impl For {
    fn annotation(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The token's id: six characters of `[a-z0-9]`.
    fn id(&self, attempt: u32) -> String {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let digest = Sha256::digest(format!("{}/{attempt}", self.annotation()));
        digest
            .iter()
            .take(6)
            .filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()))
            .map(|byte| char::from(*byte))
            .collect()
    }
}

/// What the workload cluster has under the id of a token.
#[derive(Clone, Debug)]
pub enum Found {
    /// A token of ours that still lets machines in.
    Usable(BootstrapToken),
    /// None, or one of ours that is about to expire: one is to be made under this id.
    Wanted { id: String },
    /// Others have tokens under all ids that would do.
    Taken,
}

/// What a token Secret is to the config.
enum Use {
    Usable(BootstrapToken),
    Expiring,
    Others,
}

fn judge(secret: &Secret, id: &str, config: &For, now: Timestamp) -> Use {
    if secret.annotations().get(CONFIG_ANNOTATION) != Some(&config.annotation()) {
        return Use::Others;
    }
    let expires =
        secrets::text(secret, token::EXPIRATION_KEY).and_then(|text| text.parse::<Timestamp>().ok());
    let lasts = expires.is_some_and(|expires| {
        expires.duration_since(now) > jiff::SignedDuration::try_from(REMAINING).unwrap_or_default()
    });
    match secrets::text(secret, token::SECRET_KEY) {
        Some(token) if lasts => {
            BootstrapToken::parse(&format!("{id}.{token}")).map_or(Use::Expiring, Use::Usable)
        }
        _ => Use::Expiring,
    }
}

/// A new token under this id.
///
/// # Errors
/// The id is none.
pub fn generate(id: &str) -> Result<BootstrapToken, TokenError> {
    let random = BootstrapToken::generate();
    BootstrapToken::parse(&format!("{id}.{}", random.secret().expose_secret()))
}

/// The token to join with, and its Secret if it is a new one; none when others have tokens under all ids.
///
/// # Errors
/// The id that was looked up is none.
pub fn issue(
    found: &Found,
    config: &For,
    role: Role,
    now: Timestamp,
) -> Result<Option<(BootstrapToken, Option<Secret>)>, TokenError> {
    Ok(match found {
        Found::Usable(token) => Some((token.clone(), None)),
        Found::Wanted { id } => {
            let token = generate(id)?;
            let secret = secret(&token, config, role, now);
            Some((token, Some(secret)))
        }
        Found::Taken => None,
    })
}

/// A token's Secret.
pub fn secret(token: &BootstrapToken, config: &For, role: Role, now: Timestamp) -> Secret {
    let expires = now.checked_add(LIFETIME).unwrap_or(now);
    let data = token::secret_data(token, role, Some(expires));
    let mut secret = Secret {
        type_: Some(token::SECRET_TYPE.to_owned()),
        data: Some(
            data.into_iter()
                .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
                .collect(),
        ),
        ..Secret::default()
    };
    secret.metadata.name = Some(secret_name(token.id()));
    secret.metadata.namespace = Some(NAMESPACE.to_owned());
    secret.metadata.annotations = Some(BTreeMap::from([(
        CONFIG_ANNOTATION.to_owned(),
        config.annotation(),
    )]));
    secret
}

/// Looks for the config's token in its workload cluster; says in words why nobody there can be asked.
pub async fn look_up_in(
    cluster: &ClusterKey,
    config: &For,
    now: Timestamp,
    context: &Context,
) -> Result<(Client, Found), String> {
    let client = context
        .workloads
        .client(cluster)
        .await
        .map_err(|error: DialError| error.to_string())?;
    let tokens: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    match look_up(&tokens, config, now).await {
        Ok(found) => Ok((client, found)),
        Err(error) => {
            if matches!(&error, kube::Error::Api(status) if status.code == 401) {
                context.workloads.forget(cluster);
            }
            Err(format!(
                "the workload cluster cannot be asked for a join token: {error}"
            ))
        }
    }
}

/// Writes a token into the workload cluster.
///
/// # Errors
/// Whatever the workload cluster's API answers.
pub async fn write(workload: &Client, token: &Secret) -> Result<(), kube::Error> {
    let api: Api<Secret> = Api::namespaced(workload.clone(), NAMESPACE);
    let parameters = PatchParams::apply(field_managers::BOOTSTRAP).force();
    api.patch(&token.name_any(), &parameters, &Patch::Apply(token))
        .await
        .map(drop)
}

/// Looks for the config's token in the workload cluster.
///
/// # Errors
/// Whatever the workload cluster's API answers.
pub async fn look_up(api: &Api<Secret>, config: &For, now: Timestamp) -> Result<Found, kube::Error> {
    for attempt in 0..ATTEMPTS {
        let id = config.id(attempt);
        let Some(secret) = api.get_opt(&secret_name(&id)).await? else {
            return Ok(Found::Wanted { id });
        };
        match judge(&secret, &id, config, now) {
            Use::Usable(token) => return Ok(Found::Usable(token)),
            Use::Expiring => return Ok(Found::Wanted { id }),
            Use::Others => {}
        }
    }
    Ok(Found::Taken)
}

/// Deletes the config's token, of which a machine that is gone has no use. Beside the reconcile and once: a workload
/// cluster that does not answer must not hold the end of a machine back, and a token expires by itself.
pub fn revoke(config: For, cluster: ClusterKey, context: &Context) {
    let workloads = context.workloads.clone();
    tokio::spawn(async move {
        let Ok(client) = workloads.client(&cluster).await else {
            return;
        };
        let api = Api::namespaced(client, NAMESPACE);
        if let Err(error) = delete(&api, &config).await {
            tracing::info!(config = config.annotation(), %error, "the join token is left to expire");
        }
    });
}

async fn delete(api: &Api<Secret>, config: &For) -> Result<(), kube::Error> {
    for attempt in 0..ATTEMPTS {
        let name = secret_name(&config.id(attempt));
        let Some(secret) = api.get_metadata_opt(&name).await? else {
            return Ok(());
        };
        if secret.annotations().get(CONFIG_ANNOTATION) == Some(&config.annotation()) {
            return api.delete(&name, &DeleteParams::default()).await.map(drop);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> For {
        For {
            namespace: "default".to_owned(),
            name: name.to_owned(),
        }
    }

    fn token_with(id: &str) -> BootstrapToken {
        BootstrapToken::parse(&format!("{id}.0123456789abcdef")).unwrap()
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn ids_follow_from_the_config() {
        let id = config("w1").id(0);
        assert_eq!(id, config("w1").id(0));
        assert_ne!(id, config("w2").id(0));
        assert_ne!(id, config("w1").id(1));
        assert_eq!(id.len(), 6);
        assert!(
            id.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        );
    }

    #[test]
    fn a_token_is_found_again_until_it_is_about_to_expire() {
        let token = token_with(&config("w1").id(0));
        let secret = secret(&token, &config("w1"), Role::Worker, now());
        let hours = |hours| {
            now()
                .checked_add(jiff::SignedDuration::from_hours(hours))
                .unwrap()
        };
        match judge(&secret, token.id(), &config("w1"), hours(22)) {
            Use::Usable(found) => assert_eq!(found.value().expose_secret(), token.value().expose_secret()),
            _ => panic!("usable for another two hours"),
        }
        assert!(matches!(
            judge(&secret, token.id(), &config("w1"), hours(24)),
            Use::Expiring
        ));
        assert!(matches!(
            judge(&secret, token.id(), &config("w2"), now()),
            Use::Others
        ));
    }

    #[test]
    fn the_secret_is_one_that_k0s_lists_as_a_controller_token() {
        let secret = secret(&token_with("abc123"), &config("c1"), Role::Controller, now());
        let data = secret.data.unwrap();
        assert_eq!(data["usage-controller-join"].0, b"true");
        assert_eq!(
            data["usage-bootstrap-authentication"].0, b"false",
            "it joins no workers"
        );
        assert!(!data.contains_key("usage-bootstrap-api-worker-calls"));
    }

    #[test]
    fn the_secret_is_one_that_k0s_lists_as_a_worker_token() {
        let token = token_with("abc123");
        let secret = secret(&token, &config("w1"), Role::Worker, now());
        let text: BTreeMap<_, _> = secret
            .data
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), String::from_utf8(value.0.clone()).unwrap()))
            .collect();
        insta::assert_yaml_snapshot!(text, @r#"
        description: Worker bootstrap token generated by k0smotron
        expiration: "2026-01-02T00:00:00Z"
        token-id: abc123
        token-secret: 0123456789abcdef
        usage-bootstrap-api-auth: "true"
        usage-bootstrap-api-worker-calls: "true"
        usage-bootstrap-authentication: "true"
        "#);
        assert_eq!(secret.metadata.name.as_deref(), Some("bootstrap-token-abc123"));
        assert_eq!(secret.type_.as_deref(), Some("bootstrap.kubernetes.io/token"));
    }
}
