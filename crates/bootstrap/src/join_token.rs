//! Join tokens: Secrets in the workload cluster by which a machine is let in.
//!
//! The id of a token follows from the name of the config it is for, so that whoever comes back after a crash finds the
//! token that was made instead of making another. The secret half is random and lives in the workload cluster and in
//! the bootstrap Secret only. Pure but for the client calls at the end.
//!
//! A Machine has a token of its own that lives for minutes, and is kept good until the Machine has joined
//! ([`crate::token_upkeep`]). The machines of a pool share one: nobody says when the last of them has joined, so it lives
//! longer, and another one takes its place at half of its life.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k0smotron_api::names::field_managers;
pub use k0smotron_k0s::token::Role;
use k0smotron_k0s::token::{self, BootstrapToken, SECRET_NAMESPACE as NAMESPACE, TokenError, secret_name};
use k0smotron_runtime::{
    Context, secrets,
    workload::{ClusterKey, DialError},
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

/// How long the token of a Machine lets it in, unless it is kept good for longer.
pub const LIFETIME: SignedDuration = SignedDuration::from_mins(30);
/// How long a token of a pool lets machines in.
pub const POOL_LIFETIME: SignedDuration = SignedDuration::from_hours(24);
/// Annotation of a token: namespace and name of the config it is for.
const CONFIG_ANNOTATION: &str = "k0smotron.io/bootstrap-config";
/// Ids tried when others have a token under the first one. Two in a row are one in 36^6 already.
const ATTEMPTS: u32 = 4;

/// The config that a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct For {
    pub namespace: String,
    pub name: String,
    /// Which of a pool's tokens, one after the other; none for a Machine's only one.
    pub round: Option<i64>,
}

impl For {
    /// For the Machine of a config.
    pub fn machine_of<K: Resource>(config: &K) -> Self {
        Self {
            namespace: config.meta().namespace.clone().unwrap_or_default(),
            name: config.name_any(),
            round: None,
        }
    }

    /// For the pool of a config, at a time.
    pub fn pool_of<K: Resource>(config: &K, now: Timestamp) -> Self {
        Self {
            round: Some(now.as_second() / (POOL_LIFETIME.as_secs() / 2)),
            ..Self::machine_of(config)
        }
    }

    /// When a token that is made now expires.
    pub fn expires(&self, now: Timestamp) -> Timestamp {
        let lifetime = if self.round.is_some() {
            POOL_LIFETIME
        } else {
            LIFETIME
        };
        now.checked_add(lifetime).unwrap_or(now)
    }

    fn annotation(&self) -> String {
        let round = self.round.map(|round| format!("@{round}")).unwrap_or_default();
        format!("{}/{}{round}", self.namespace, self.name)
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
    /// A token of ours.
    Usable(BootstrapToken),
    /// None, or one of ours that is none: one is to be made under this id.
    Wanted { id: String },
    /// Others have tokens under all ids that would do.
    Taken,
}

/// What a token Secret is to the config.
enum Use {
    Usable(BootstrapToken),
    Broken,
    Others,
}

fn judge(secret: &Secret, id: &str, config: &For) -> Use {
    if !is_for(secret, config) {
        return Use::Others;
    }
    let token = secrets::text(secret, token::SECRET_KEY).unwrap_or_default();
    BootstrapToken::parse(&format!("{id}.{token}")).map_or(Use::Broken, Use::Usable)
}

/// Whether a token is the config's.
pub fn is_for(secret: &Secret, config: &For) -> bool {
    secret.annotations().get(CONFIG_ANNOTATION) == Some(&config.annotation())
}

/// A new token under this id.
///
/// # Errors
/// The id is none.
pub fn generate(id: &str) -> Result<BootstrapToken, TokenError> {
    let random = BootstrapToken::generate();
    BootstrapToken::parse(&format!("{id}.{}", random.secret().expose_secret()))
}

/// The token to join with.
pub struct Issued {
    pub token: BootstrapToken,
    /// Its Secret for the workload cluster.
    pub secret: Secret,
    /// When it expires, for a pool: that of a Machine is kept good.
    pub pool_expires: Option<Timestamp>,
}

/// The token that was found or a new one, good from now on; none when others have tokens under all ids.
///
/// # Errors
/// The id that was looked up is none.
pub fn issue(found: &Found, config: &For, role: Role, now: Timestamp) -> Result<Option<Issued>, TokenError> {
    let token = match found {
        Found::Usable(token) => token.clone(),
        Found::Wanted { id } => generate(id)?,
        Found::Taken => return Ok(None),
    };
    Ok(Some(Issued {
        secret: secret(&token, config, role, now),
        pool_expires: config.round.map(|_| config.expires(now)),
        token,
    }))
}

/// A token's Secret.
pub fn secret(token: &BootstrapToken, config: &For, role: Role, now: Timestamp) -> Secret {
    let data = token::secret_data(token, role, Some(config.expires(now)));
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
    context: &Context,
) -> Result<(Client, Found), String> {
    let client = context
        .workloads
        .client(cluster)
        .await
        .map_err(|error: DialError| error.to_string())?;
    let tokens: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    match look_up(&tokens, config).await {
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
async fn look_up(api: &Api<Secret>, config: &For) -> Result<Found, kube::Error> {
    for attempt in 0..ATTEMPTS {
        let id = config.id(attempt);
        let Some(secret) = api.get_opt(&secret_name(&id)).await? else {
            return Ok(Found::Wanted { id });
        };
        match judge(&secret, &id, config) {
            Use::Usable(token) => return Ok(Found::Usable(token)),
            Use::Broken => return Ok(Found::Wanted { id }),
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
            round: None,
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
    fn a_token_is_found_again_by_whom_it_is_for() {
        let token = token_with(&config("w1").id(0));
        let mut secret = secret(&token, &config("w1"), Role::Worker, now());
        match judge(&secret, token.id(), &config("w1")) {
            Use::Usable(found) => assert_eq!(found.value().expose_secret(), token.value().expose_secret()),
            _ => panic!("it is there"),
        }
        assert!(matches!(judge(&secret, token.id(), &config("w2")), Use::Others));
        secret.data = None;
        assert!(matches!(judge(&secret, token.id(), &config("w1")), Use::Broken));
    }

    #[test]
    fn a_pool_gets_another_token_at_half_of_the_life_of_one() {
        let pool = |hours| {
            let config = config("p");
            let mut object = Secret::default();
            object.metadata.namespace = Some(config.namespace);
            object.metadata.name = Some(config.name);
            For::pool_of(&object, now() + SignedDuration::from_hours(hours))
        };
        assert_eq!(pool(0), pool(11));
        assert_ne!(pool(0).id(0), pool(12).id(0));
        assert_ne!(pool(0).id(0), config("p").id(0));
        assert_eq!(pool(0).expires(now()), now() + SignedDuration::from_hours(24));
        assert_eq!(config("p").expires(now()), now() + SignedDuration::from_mins(30));
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
        expiration: "2026-01-01T00:30:00Z"
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
