//! A management plane by hand: `cargo run -p k0smotron-e2e-plane --example plane -- up|down N`.

use anyhow::{Context, Result, bail};
use k0smotron_e2e_plane::Plane;

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let verb = args.next().context("up or down?")?;
    let instance = args
        .next()
        .context("which instance?")?
        .parse()
        .context("an instance is a number")?;
    match verb.as_str() {
        "up" => {
            let plane = Plane::up(instance).await?;
            println!("export KUBECONFIG={}", plane.kubeconfig().display());
        }
        "down" => Plane::down(instance).await?,
        other => bail!("up or down, not {other:?}"),
    }
    Ok(())
}
