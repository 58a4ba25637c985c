//! Machines by hand: `machines up <instance> <count> [directory of binaries]…`, `machines list <instance>`,
//! `machines down <instance>`. Without directories the components are built, or taken from the cache.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use k0smotron_e2e_machines::{Machine, MachineImage, MachineSpec, Network, SshKey, list, stop_all};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["up", instance, count, directories @ ..] => up(number(instance)?, number(count)?, directories).await,
        ["list", instance] => {
            for machine in list(number(instance)?)? {
                println!("{} {}", machine.id(), machine.address());
            }
            Ok(())
        }
        ["down", instance] => {
            let instance = number(instance)?;
            stop_all(instance).await?;
            Network::down(instance).await
        }
        _ => bail!("usage: machines up <instance> <count> [directory]… | list <instance> | down <instance>"),
    }
}

async fn up(instance: u8, count: u8, directories: &[&str]) -> Result<()> {
    let directories: Vec<PathBuf> = directories.iter().map(PathBuf::from).collect();
    let image = if directories.is_empty() {
        MachineImage::with_components()?
    } else {
        MachineImage::with_binaries(&directories)?
    };
    let begin = Instant::now();
    let network = Network::up(instance).await?;
    let key = SshKey::generate(instance).await?;
    let specs: Vec<_> = (0..count)
        .map(|index| MachineSpec::new(&format!("m{index}"), index, key.public()))
        .collect();
    let machines = try_join_all(specs.iter().map(|spec| Machine::start(&network, &image, spec))).await?;
    for machine in machines {
        println!(
            "{}: ssh -i {} root@{}",
            machine.id(),
            key.path().display(),
            machine.address()
        );
    }
    println!("up after {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn number(text: &str) -> Result<u8> {
    text.parse()
        .with_context(|| format!("{text} is no number up to 255"))
}
