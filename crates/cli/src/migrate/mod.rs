//! `k0smotronctl migrate check`: what taking over a cluster's objects would change, hold back, roll or refuse. Reads only.
//!
//! - [`read`]: from the cluster, page by page; nothing else here has a client.
//! - [`object`], [`definition`]: what one object, or the definition of its kind, tells by itself.
//! - [`machines`]: what Cluster API's objects tell about the machines, by the same comparison that the manager makes.

mod definition;
mod machines;
mod object;
mod read;

use std::{fmt, path::Path};

use anyhow::{Context as _, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Config, ResourceExt,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

pub use machines::World;
pub use object::of_object;

use crate::{document::title, schema::Schemas};

/// What taking over does to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It cannot be read, so nothing is done for it.
    Refuse(String),
    /// Something of it is lost.
    Change(String),
    /// Machines that run are replaced, updated or set up again.
    Roll(String),
    /// Not written to by this version, for what it asks.
    Hold(String),
    /// Its stored form is written anew, with the same content.
    Rewrite(String),
    /// To be known, with no effect.
    Note(String),
}

impl Effect {
    /// Whether somebody has to do something before taking over.
    #[must_use]
    pub fn counts(&self) -> bool {
        !matches!(self, Self::Rewrite(_) | Self::Note(_))
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, why) = match self {
            Self::Refuse(why) => ("refuse", why),
            Self::Change(why) => ("change", why),
            Self::Roll(why) => ("roll", why),
            Self::Hold(why) => ("hold", why),
            Self::Rewrite(why) => ("rewrite", why),
            Self::Note(why) => ("note", why),
        };
        write!(f, "{verb}: {why}")
    }
}

/// Hands a line for each effect to `print`. Returns the number of objects, and of effects that somebody has to look at.
///
/// # Errors
/// The cluster cannot be read.
pub async fn check(
    client: &Client,
    namespace: Option<&str>,
    mut print: impl FnMut(String),
) -> Result<(usize, usize)> {
    let schemas = Schemas::new()?;
    let (mut objects, mut found) = (0, 0);
    let mut report = |title: &str, effects: Vec<Effect>| {
        for effect in effects {
            found += usize::from(effect.counts());
            print(format!("{title}: {effect}"));
        }
    };
    let (world, effects) = read::world(client, namespace).await?;
    report(read::MACHINES, effects);
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in k0smotron_api::crds() {
        let name = crd.name_any();
        let installed = definitions.get_opt(&name).await;
        let Some(installed) =
            installed.with_context(|| format!("cannot read CustomResourceDefinition {name}"))?
        else {
            continue;
        };
        report(&name, definition::of_definition(&installed));
        match read::objects(client, &installed, namespace).await {
            Ok(listed) => {
                objects += listed.len();
                for object in listed {
                    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
                    let title = format!("{}: {}", namespace.unwrap_or_default(), title(&object));
                    report(&title, of_object(&object, &schemas, &world));
                }
            }
            // The others are worth a look all the same.
            Err(error) => report(
                &name,
                vec![Effect::Refuse(format!("its objects cannot be listed: {error:#}"))],
            ),
        }
    }
    Ok((objects, found))
}

/// A client for the cluster that a kubeconfig, or the surroundings, say.
///
/// # Errors
/// There is no cluster, or the kubeconfig cannot be read.
pub async fn client(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client> {
    let chosen = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let config = match kubeconfig {
        Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &chosen).await?,
        None if context.is_some() => Config::from_kubeconfig(&chosen).await?,
        None => Config::infer().await.context("no kubeconfig; see --kubeconfig")?,
    };
    Ok(Client::try_from(config)?)
}
