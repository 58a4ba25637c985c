//! A management cluster with a node by hand:
//!
//! ```text
//! node_plane up N K0S VERSION [REPOSITORY VERSION MANAGER]   then with Cluster API and our managers in pods
//! node_plane down N
//! ```

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use k0smotron_e2e_machines::{Network, SshKey};
use k0smotron_e2e_plane::nodes::{K0s, NodePlane};

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["up", instance, k0s, version, rest @ ..] => {
            let k0s = K0s {
                binary: Path::new(k0s),
                version,
            };
            up(number(instance)?, k0s, rest).await
        }
        ["down", instance] => {
            let instance = number(instance)?;
            NodePlane::down(instance).await?;
            Network::down(instance).await
        }
        _ => bail!("node_plane up N K0S VERSION [REPOSITORY VERSION MANAGER] | node_plane down N"),
    }
}

async fn up(instance: u8, k0s: K0s<'_>, rest: &[&str]) -> Result<()> {
    let begun = Instant::now();
    let tell = |what: &str| println!("{:>6.1} s  {what}", begun.elapsed().as_secs_f64());
    let network = Network::up(instance).await?;
    let key = SshKey::generate(instance).await?;
    let plane = NodePlane::up(&network, key.public(), k0s).await?;
    tell("node Ready, images imported");
    if let [repository, version, manager] = rest {
        plane
            .install(Path::new(repository), version, Path::new(manager))
            .await?;
        tell("Cluster API and managers ready");
    }
    plane.wait_for_services().await?;
    tell("kube-proxy and CoreDNS ready");
    println!("export KUBECONFIG={}", plane.kubeconfig().display());
    Ok(())
}

fn number(text: &str) -> Result<u8> {
    text.parse()
        .with_context(|| format!("{text}: an instance is a number"))
}
