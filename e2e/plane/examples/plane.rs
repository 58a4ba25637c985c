//! A management plane by hand:
//!
//! ```text
//! plane up N [REPOSITORY VERSION [MANAGER]]   then with Cluster API and our providers, then with our managers
//! plane down N
//! ```

use std::path::Path;

use anyhow::{Context, Result, bail};
use k0smotron_e2e_plane::{Plane, clusterctl, managers};

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["up", instance, rest @ ..] => up(number(instance)?, rest).await,
        ["down", instance] => Plane::down(number(instance)?).await,
        _ => bail!("plane up N [REPOSITORY VERSION [MANAGER]] | plane down N"),
    }
}

async fn up(instance: u8, rest: &[&str]) -> Result<()> {
    let plane = Plane::up(instance).await?;
    if let [repository, version, manager @ ..] = rest {
        clusterctl::init(&plane, Path::new(repository), version).await?;
        if let [binary] = manager {
            for manager in managers::start(&plane, Path::new(binary)).await? {
                println!("{}\t{}", manager.name(), manager.log(&plane).display());
            }
        }
    }
    println!("export KUBECONFIG={}", plane.kubeconfig().display());
    Ok(())
}

fn number(text: &str) -> Result<u8> {
    text.parse()
        .with_context(|| format!("{text}: an instance is a number"))
}
