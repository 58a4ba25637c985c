//! The key pair with which the harness logs in to the machines of an instance.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::run;
use crate::state;

/// An Ed25519 key pair under the instance's state directory, removed by [`crate::Network::down`].
#[derive(Clone, Debug)]
pub struct SshKey {
    path: PathBuf,
    public: String,
}

impl SshKey {
    /// The key pair of the instance, made when there is none.
    ///
    /// # Errors
    /// `ssh-keygen` is missing, or the state directory cannot be written.
    pub async fn generate(instance: u8) -> Result<Self> {
        let _lock = state::lock(instance).await?;
        let directory = state::instance_directory(instance).join("ssh");
        fs::create_dir_all(&directory)
            .and_then(|()| fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)))
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let path = directory.join("id_ed25519");
        if !path.exists() {
            // Made aside, because ssh-keygen asks before it overwrites and leaves half a pair when killed.
            let partial = tempfile::tempdir_in(&directory)?;
            let new = partial.path().join("key");
            let comment = format!("k0smotron-e2e-{instance}");
            let file = new.to_string_lossy();
            run(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f", &file],
            )
            .await?;
            // The private key last: it is what tells that the pair is complete.
            fs::rename(new.with_extension("pub"), path.with_extension("pub"))?;
            fs::rename(&new, &path)?;
        }
        let public = fs::read_to_string(path.with_extension("pub"))
            .with_context(|| format!("cannot read {}.pub", path.display()))?
            .trim()
            .to_owned();
        Ok(Self { path, public })
    }

    /// The private key's file, in OpenSSH format with mode 0600; for `ssh -i`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The private key in OpenSSH format; for a Secret.
    ///
    /// # Errors
    /// The file is gone.
    pub fn private(&self) -> Result<String> {
        fs::read_to_string(&self.path).with_context(|| format!("cannot read {}", self.path.display()))
    }

    /// The public key, one line in the format of `authorized_keys`.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }
}
