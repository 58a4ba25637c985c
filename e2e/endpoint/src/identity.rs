//! Who asks, for load balancers that have to show a certificate.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Certificate and key (PEM, one after the other) of a kubeconfig's first user, which must hold both.
///
/// # Errors
/// The text is no kubeconfig, or its first user has no certificate of its own.
pub fn identity(kubeconfig: &str) -> Result<String> {
    let kubeconfig: Value = serde_yaml::from_str(kubeconfig).context("no kubeconfig")?;
    let part = |name: &str| {
        let data = kubeconfig
            .pointer(&format!("/users/0/user/{name}"))
            .and_then(Value::as_str);
        let data = data.with_context(|| format!("the kubeconfig's first user has no {name}"))?;
        anyhow::Ok(String::from_utf8(STANDARD.decode(data)?)?)
    };
    Ok(part("client-certificate-data")? + &part("client-key-data")?)
}
