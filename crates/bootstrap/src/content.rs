//! Content that a spec refers to instead of spelling it out: keys of Secrets and ConfigMaps in the Cluster's namespace.

use k0smotron_api::bootstrap::v1beta2::{ContentSource, File};
use k0smotron_k0s::plan;
use k0smotron_runtime::{Context, secrets};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;

/// What came of following references: the content, or which reference leads nowhere.
pub type Resolved<T> = Result<T, String>;

/// The files with their content.
///
/// # Errors
/// Outer: what the API answers. Inner: the reference that leads nowhere, in words for a condition.
pub async fn files(
    context: &Context,
    namespace: &str,
    files: &[File],
) -> Result<Resolved<Vec<plan::File>>, kube::Error> {
    let mut resolved = Vec::with_capacity(files.len());
    for file in files {
        let content = match &file.content_from {
            None => file.content.clone().unwrap_or_default(),
            Some(source) => match text(context, namespace, source).await? {
                Ok(content) => content,
                Err(missing) => return Ok(Err(format!("file {}: {missing}", file.path))),
            },
        };
        resolved.push(plan::File::new(&file.path, content, &file.permissions));
    }
    Ok(Ok(resolved))
}

/// The text that a source names. The Secret wins over the ConfigMap.
///
/// # Errors
/// As [`files`].
pub async fn text(
    context: &Context,
    namespace: &str,
    source: &ContentSource,
) -> Result<Resolved<String>, kube::Error> {
    let absent = |kind: &str, name: &str, key: &str| {
        format!("{kind} {namespace}/{name} has no text under key {key}: create it or correct the reference")
    };
    if let Some(reference) = &source.secret_ref {
        let api: Api<Secret> = context.api(namespace);
        let secret = api.get_opt(&reference.name).await?;
        let text = secret.and_then(|secret| secrets::text(&secret, &reference.key));
        return Ok(text.ok_or_else(|| absent("Secret", &reference.name, &reference.key)));
    }
    if let Some(reference) = &source.config_map_ref {
        let api: Api<ConfigMap> = context.api(namespace);
        let map = api.get_opt(&reference.name).await?;
        let text = map.and_then(|map| map.data?.remove(&reference.key));
        return Ok(text.ok_or_else(|| absent("ConfigMap", &reference.name, &reference.key)));
    }
    Ok(Err(
        "contentFrom names neither a Secret nor a ConfigMap".to_owned()
    ))
}

/// The user's own user data, if a source is given for it.
///
/// # Errors
/// As [`files`].
pub async fn custom_user_data(
    context: &Context,
    namespace: &str,
    source: Option<&ContentSource>,
) -> Result<Resolved<Option<String>>, kube::Error> {
    match source {
        None => Ok(Ok(None)),
        Some(source) => {
            let text = text(context, namespace, source).await?;
            Ok(text
                .map(Some)
                .map_err(|missing| format!("custom user data: {missing}")))
        }
    }
}
