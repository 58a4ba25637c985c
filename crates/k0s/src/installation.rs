//! What every k0s host has in common: where the binary comes from and goes, and the order of commands around it.

use crate::arguments;
use crate::download;
use crate::plan::{Commands, File, PlanError, absolute};
use crate::shell::{Word, quote};
use crate::version::Version;

const DEFAULT_INSTALL_DIR: &str = "/usr/local/bin";
const DEFAULT_WORKING_DIR: &str = "/etc";

/// Written last; tells infrastructure providers that the bootstrap is over (contract B8).
pub const SENTINEL: &str = "/run/cluster-api/bootstrap-success.complete";

/// How k0s gets onto a host and where it lives there; the same for every role. Empty texts mean the default.
#[derive(Clone, Debug, Default)]
pub struct Installation {
    /// The version to run. Without one, the installer script picks the latest stable.
    pub version: Option<Version>,
    /// Where the binary is fetched: `https://get.k0s.sh` (default) chooses by `version`, any other `http(s)://` or
    /// `oci://` location is the binary itself.
    pub download_url: String,
    /// The image brings k0s: nothing is fetched.
    pub preinstalled: bool,
    /// Directory of the binary; `/usr/local/bin` by default.
    pub install_dir: String,
    /// Directory of configuration and token; `/etc` by default.
    pub working_dir: String,
    /// Name of the Machine, and of the node unless `use_system_hostname`.
    pub machine_name: String,
    pub use_system_hostname: bool,
    /// Arguments of `k0s controller` or `k0s worker`; see [`crate::arguments`].
    pub args: Vec<String>,
    /// Run before the download.
    pub pre_commands: Vec<String>,
    /// Run after k0s was started.
    pub post_commands: Vec<String>,
    /// The user's own files, contents resolved.
    pub files: Vec<File>,
}

impl Installation {
    pub(crate) fn validate(&self) -> Result<(), PlanError> {
        absolute("k0sInstallDir", self.install_dir())?;
        absolute("workingDir", self.working_dir())?;
        self.files.iter().try_for_each(File::validate)?;
        self.validate_values()
    }

    /// What is refused on every platform.
    pub(crate) fn validate_values(&self) -> Result<(), PlanError> {
        let nul = |field, texts: &[String]| match texts.iter().any(|text| text.contains('\0')) {
            true => Err(PlanError::Nul { field }),
            false => Ok(()),
        };
        nul("args", &self.args)?;
        nul("preK0sCommands", &self.pre_commands)?;
        nul("postK0sCommands", &self.post_commands)
    }

    pub(crate) fn install_dir(&self) -> &str {
        directory(&self.install_dir, DEFAULT_INSTALL_DIR)
    }

    pub(crate) fn working_dir(&self) -> &str {
        directory(&self.working_dir, DEFAULT_WORKING_DIR)
    }

    /// Where the join token is written, readable by root only.
    pub fn token_path(&self) -> String {
        format!("{}/k0s.token", self.working_dir())
    }

    /// A command line of the installed binary.
    pub(crate) fn k0s(&self, words: impl IntoIterator<Item = Word>) -> String {
        let binary = format!("{}/k0s", self.install_dir());
        format!("{} {}", quote(&binary), arguments::command_line(words))
    }

    /// The commands around an `install` line.
    pub(crate) fn commands(&self, install: String, service: &str) -> Result<Commands, PlanError> {
        let download = download::command(
            &self.download_url,
            self.preinstalled,
            self.version.as_ref(),
            self.install_dir(),
        )?;
        Ok(Commands {
            before: self.pre_commands.clone(),
            download,
            install,
            start: self.start(service),
            after: self.post_commands.clone(),
            done: format!("mkdir -p /run/cluster-api && touch {SENTINEL}"),
        })
    }

    /// Starts the installed service through whatever init system the host runs. `k0s start` alone would do, but
    /// fails on a service that already runs, and so on every retry.
    fn start(&self, service: &str) -> String {
        let k0s_start = self.k0s([Word::from("start")]);
        format!(
            "if test -d /run/systemd/system; then systemctl start {service}; \
             elif command -v rc-service >/dev/null 2>&1; then rc-service {service} start; \
             elif command -v service >/dev/null 2>&1; then service {service} start; \
             else {k0s_start}; fi"
        )
    }
}

fn directory<'a>(given: &'a str, default: &'a str) -> &'a str {
    match given.trim_end_matches('/') {
        "" if given.is_empty() => default,
        "" => "/",
        directory => directory,
    }
}

#[cfg(test)]
mod tests;
