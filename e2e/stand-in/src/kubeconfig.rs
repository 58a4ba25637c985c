//! Kubeconfigs as k0s writes and prints them.

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use crate::{
    cli::KubeconfigCommand, config::NodeConfig, go::parse_duration, paths::Paths, pki,
    runtime_config::effective_paths,
};

/// The names inside a kubeconfig.
pub struct Names<'a> {
    pub cluster: &'a str,
    pub context: &'a str,
    pub user: &'a str,
}

/// Names in the kubeconfigs of k0s' own components and of the administrator.
pub const LOCAL: Names<'static> = Names {
    cluster: "local",
    context: "Default",
    user: "user",
};

/// A kubeconfig with one cluster and one user, as YAML.
pub fn render(names: &Names<'_>, server: &str, ca_pem: &str, user: &Value) -> Result<String> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": names.cluster,
            "cluster": {"server": server, "certificate-authority-data": BASE64.encode(ca_pem)},
        }],
        "contexts": [{
            "name": names.context,
            "context": {"cluster": names.cluster, "user": names.user},
        }],
        "current-context": names.context,
        "users": [{"name": names.user, "user": user}],
    });
    Ok(serde_yaml::to_string(&config)?)
}

/// The user entry of a client certificate.
pub fn certificate_user(identity: &pki::Identity) -> Value {
    json!({
        "client-certificate-data": BASE64.encode(&identity.certificate),
        "client-key-data": BASE64.encode(&identity.key),
    })
}

/// `k0s kubeconfig admin|create`: prints to standard output.
pub fn run(command: &KubeconfigCommand) -> Result<()> {
    match command {
        KubeconfigCommand::Admin { instance } => {
            let paths = effective_paths(instance.paths(None)?)?;
            let identity = pki::Identity {
                certificate: admin_file(&paths, "admin.crt")?,
                key: admin_file(&paths, "admin.key")?,
            };
            let server = NodeConfig::load(&paths)?.spec.api.server_url();
            let ca = admin_file(&paths, "ca.crt")?;
            print!("{}", render(&LOCAL, &server, &ca, &certificate_user(&identity))?);
        }
        KubeconfigCommand::Create {
            instance,
            config,
            groups,
            certificate_expires_after,
            context_name,
            username,
        } => {
            let paths = effective_paths(instance.paths(config.as_deref())?)?;
            let life = parse_duration(certificate_expires_after)?;
            let leaf = pki::Leaf {
                name: username,
                common_name: username,
                organization: groups.as_deref().unwrap_or_default(),
                hosts: &[],
            };
            let identity = pki::sign(&paths.pki_dir(), "ca", &leaf, life).context(
                "failed to generate user certificate, check if the control plane is initialized on this node",
            )?;
            let server = NodeConfig::load(&paths)?.spec.api.server_url();
            let names = Names {
                cluster: context_name,
                context: context_name,
                user: username,
            };
            print!(
                "{}",
                render(
                    &names,
                    &server,
                    &admin_file(&paths, "ca.crt")?,
                    &certificate_user(&identity)
                )?
            );
        }
    }
    Ok(())
}

fn admin_file(paths: &Paths, name: &str) -> Result<String> {
    let path = paths.pki(name);
    std::fs::read_to_string(&path).with_context(|| {
        format!("admin PKI file {path:?} not found, check if the control plane is initialized on this node")
    })
}
