//! The tokens of a request, as the cluster that is joined knows them. Pure.
//!
//! They are found by their labels and not by their ids: ids are public parts of secrets, and a token that replaces
//! another needs another one.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k0smotron_api::{k0smotron::v1beta2::JoinTokenRequest, names::labels};
use k0smotron_k0s::token::{self, BootstrapToken, Role};
use k0smotron_runtime::secrets;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

/// How far clocks may be apart.
const SKEW: Duration = Duration::from_secs(60);

/// A token that the cluster has.
#[derive(Clone, Debug)]
pub struct Token {
    pub token: BootstrapToken,
    pub role: Role,
    /// `None` for ever.
    pub expires: Option<Timestamp>,
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id() && self.role == other.role && self.expires == other.expires
    }
}

impl Token {
    /// Reads a token's Secret. One that k0s could not read either is none.
    pub fn read(secret: &Secret) -> Option<Self> {
        let name = secret.name_any();
        let id = name.strip_prefix(&token::secret_name(""))?;
        let value = format!("{id}.{}", secrets::text(secret, token::SECRET_KEY)?);
        let is = |key| secrets::text(secret, key).as_deref() == Some("true");
        let expires = match secrets::text(secret, token::EXPIRATION_KEY) {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        Some(Self {
            token: BootstrapToken::parse(&value).ok()?,
            role: if is(token::CONTROLLER_KEY) {
                Role::Controller
            } else {
                Role::Worker
            },
            expires,
        })
    }

    pub fn id(&self) -> &str {
        self.token.id()
    }

    /// Whether it is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether it lets in what is asked for, and not for longer.
    pub fn fits(&self, role: Role, life: Option<Duration>, now: Timestamp) -> bool {
        let in_time = match (life, self.expires) {
            (None, None) => true,
            (Some(life), Some(expires)) => {
                let latest = now
                    .checked_add(signed(life.saturating_add(SKEW)))
                    .unwrap_or(Timestamp::MAX);
                expires > now && expires <= latest
            }
            _ => false,
        };
        in_time && self.role == role
    }

    /// When it is to be replaced: when two thirds of such a life are over. `None` for never.
    pub fn renewal(&self, life: Option<Duration>) -> Option<Timestamp> {
        let (life, expires) = life.zip(self.expires)?;
        Some(expires.checked_sub(signed(life / 3)).unwrap_or(Timestamp::MIN))
    }
}

/// When a token of this life expires that is made now.
pub fn expiry(life: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
    // What ends after the year 9999 is for ever.
    life.and_then(|life| now.checked_add(signed(life)).ok())
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Selects the tokens of a request.
pub fn selector(request: &JoinTokenRequest) -> String {
    let pairs = marks(request).map(|(key, value)| format!("{key}={value}"));
    pairs.join(",")
}

/// The labels by which tokens are known to be the request's.
pub fn marks(request: &JoinTokenRequest) -> [(&'static str, String); 2] {
    [
        (labels::TOKEN_REQUEST, request.name_any()),
        (
            labels::TOKEN_REQUEST_NAMESPACE,
            request.namespace().unwrap_or_default(),
        ),
    ]
}
