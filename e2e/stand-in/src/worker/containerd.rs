//! containerd with k0s' configuration: `/etc/k0s/containerd.toml`, unless a user took it over, and the drop-ins of
//! `/etc/k0s/containerd.d`, where a machine says what its kernel refuses.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};

use crate::{
    paths::Paths,
    pki,
    supervisor::{Program, Supervised},
};

const CONFIG: &str = "/etc/k0s/containerd.toml";
const DROP_INS: &str = "/etc/k0s/containerd.d";
/// First line of a configuration that k0s may overwrite.
const MARKER: &str = "# k0s_managed=true";

/// Starts containerd and waits until it answers.
pub async fn start(paths: &Paths, pause_image: &str) -> Result<Supervised> {
    write_config(pause_image)?;
    let arguments = vec![
        format!("--root={}", paths.data_dir.join("containerd").display()),
        format!("--state={}", paths.run_dir.join("containerd").display()),
        format!("--address={}", paths.containerd_socket().display()),
        "--log-level=info".to_owned(),
        format!("--config={CONFIG}"),
    ];
    for needed in ["containerd-shim-runc-v2", "runc"] {
        paths.executable(needed)?;
    }
    let _ = fs::remove_file(paths.containerd_socket());
    let containerd = Supervised::start(paths, Program::find(paths, "containerd", arguments)?).await?;
    let answers = async {
        while UnixStream::connect(paths.containerd_socket()).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout(Duration::from_secs(60), answers).await.is_err() {
        containerd.stop().await;
        anyhow::bail!("containerd does not answer");
    }
    Ok(containerd)
}

fn write_config(pause_image: &str) -> Result<()> {
    fs::create_dir_all(DROP_INS).with_context(|| format!("{DROP_INS} cannot be made"))?;
    let config = Path::new(CONFIG);
    let users_own = fs::read_to_string(config).is_ok_and(|text| text.lines().next() != Some(MARKER));
    if users_own {
        tracing::info!("{CONFIG} is the user's own and is left alone");
        return Ok(());
    }
    pki::write_atomically(config, &render(pause_image), 0o644)
}

fn render(pause_image: &str) -> String {
    format!(
        "{MARKER}\n\
         # Written at every start. Remove the first line to keep a configuration of your own.\n\
         imports = [\"{DROP_INS}/*.toml\"]\n\
         version = 3\n\
         \n\
         [plugins.\"io.containerd.cri.v1.images\".pinned_images]\n\
         sandbox = \"{pause_image}\"\n\
         \n\
         [plugins.\"io.containerd.cri.v1.runtime\"]\n"
    )
}
