//! Makes a Windows host a k0s worker.
//!
//! One script does everything, and a scheduled task runs it again after a reboot, which Windows' feature Containers may
//! need, until it has succeeded.

use secrecy::ExposeSecret;

use crate::arguments;
use crate::plan::{Commands, File, PlanError, Steps, absolute_on_windows};
use crate::powershell::{argument, quote};
use crate::shell::{self, Word};
use crate::worker::WorkerInstall;

/// Where the script is written, and what runs it.
const SCRIPT: &str = "C:\\bootstrap\\k0s_install.ps1";
const RUN: &str = "powershell.exe -NoProfile -NonInteractive -File \"C:\\bootstrap\\k0s_install.ps1\"";

/// Before the download: the log, nothing for a host that is done, another run after a reboot, what k0s needs.
const BEGIN: &str = r#"$ErrorActionPreference = 'Stop'
Start-Transcript -Path 'C:\bootstrap.log' -Append
$sentinel = 'C:\run\cluster-api\bootstrap-success.complete'
if (Test-Path -LiteralPath $sentinel) {
    Stop-Transcript
    exit 0
}
function Assert-ExitCode {
    if ($LASTEXITCODE -ne 0) { throw "the last command ended with $LASTEXITCODE" }
}

$task = @{
    TaskName  = 'k0s-bootstrap'
    Action    = New-ScheduledTaskAction -Execute 'powershell.exe' -Argument '-NoProfile -NonInteractive -File "C:\bootstrap\k0s_install.ps1"'
    Trigger   = New-ScheduledTaskTrigger -AtStartup
    Principal = New-ScheduledTaskPrincipal -UserId 'SYSTEM' -RunLevel Highest
    Settings  = New-ScheduledTaskSettingsSet -ExecutionTimeLimit (New-TimeSpan -Hours 2)
}
Register-ScheduledTask @task -Force | Out-Null

if (-not ((dism.exe /English /Online /Get-FeatureInfo /FeatureName:Containers) -match 'State : Enabled')) {
    dism.exe /English /Online /Enable-Feature /FeatureName:Containers /All /NoRestart
    if ($LASTEXITCODE -eq 3010) {
        Stop-Transcript
        Restart-Computer -Force
        exit 0
    }
    Assert-ExitCode
}
while (-not (Get-NetAdapter | Where-Object Status -eq 'Up')) { Start-Sleep -Seconds 5 }
"#;

/// After everything: no run after a reboot any more, and the sentinel.
const END: &str = r"
Unregister-ScheduledTask -TaskName 'k0s-bootstrap' -Confirm:$false
New-Item -ItemType File -Force -Path $sentinel | Out-Null
Stop-Transcript
";

impl WorkerInstall {
    /// As [`WorkerInstall::steps`], for Windows: files are the join token, the user's, and the script; the command runs
    /// it. In the script the user's commands before come after the download, as users of the original know it.
    ///
    /// # Errors
    /// What no host can carry out.
    pub fn windows_steps(&self) -> Result<Steps, PlanError> {
        let Self {
            installation,
            join_token,
        } = self;
        installation.validate_values()?;
        absolute_on_windows("k0sInstallDir", installation.install_dir())?;
        absolute_on_windows("workingDir", installation.working_dir())?;
        for file in &installation.files {
            absolute_on_windows("files[].path", &file.path)?;
            file.validate_permissions()?;
        }

        let token_path = installation.token_path();
        let mut files = vec![File::new(&token_path, join_token.expose_secret(), "0600")];
        files.extend(installation.files.iter().cloned());

        let binary = quote(&format!("{}/k0s.exe", installation.install_dir()));
        let merged = arguments::merge(
            &installation.args,
            &[],
            &installation.machine_name,
            true,
            installation.use_system_hostname,
            split,
        );
        let fixed = ["install", "worker", "--force", "--token-file", &token_path];
        let words = fixed.into_iter().map(Word::from).chain(merged);
        let words: Vec<_> = words.map(|word| argument(&word)).collect();

        let mut lines = Vec::new();
        lines.extend(self.windows_download()?);
        lines.push(format!("& {binary} version\nAssert-ExitCode"));
        lines.extend(installation.pre_commands.iter().cloned());
        lines.push(format!("& {binary} {}\nAssert-ExitCode", words.join(" ")));
        lines.push(format!("& {binary} start\nAssert-ExitCode"));
        lines.extend(installation.post_commands.iter().cloned());
        let script = format!("{BEGIN}\n{}\n{END}", lines.join("\n"));
        files.push(File::new(SCRIPT, script, "0644"));
        Ok(Steps {
            files,
            commands: Commands::one(RUN),
        })
    }

    /// Fetches `k0s.exe` beside its place and renames it. There is one for amd64 only.
    fn windows_download(&self) -> Result<Option<String>, PlanError> {
        let installation = &self.installation;
        if installation.preinstalled {
            return Ok(None);
        }
        let url = match (installation.download_url.trim(), &installation.version) {
            ("" | "https://get.k0s.sh", Some(version)) => {
                let version = version.with_default_suffix();
                format!("https://get.k0sproject.io/{version}/k0s-{version}-amd64.exe")
            }
            ("" | "https://get.k0s.sh", None) => return Err(PlanError::NoVersion),
            (url, _) if url.starts_with("https://") || url.starts_with("http://") => url.to_owned(),
            (url, _) => {
                return Err(PlanError::DownloadUrl {
                    url: url.to_owned(),
                    problem: "has a scheme that is not supported on Windows",
                });
            }
        };
        let directory = installation.install_dir();
        let [directory, staged, binary] = [
            directory.to_owned(),
            format!("{directory}/k0s-download.exe"),
            format!("{directory}/k0s.exe"),
        ]
        .map(|path| quote(&path));
        let url = quote(&url);
        Ok(Some(format!(
            "[Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12\n\
             New-Item -ItemType Directory -Force -Path {directory} | Out-Null\n\
             Invoke-WebRequest -UseBasicParsing -Uri {url} -OutFile {staged}\n\
             Move-Item -Force -Path {staged} -Destination {binary}"
        )))
    }
}

/// Backslashes are part of paths here, and escape nothing.
fn split(arg: &str) -> Vec<Word> {
    shell::split(&arg.replace('\\', "\\\\"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installation::Installation;

    fn worker(installation: Installation) -> WorkerInstall {
        WorkerInstall {
            installation: Installation {
                machine_name: "win-1".to_owned(),
                ..installation
            },
            join_token: "join-token".into(),
        }
    }

    fn version() -> Installation {
        Installation {
            version: Some("v1.36.3+k0s.2".parse().unwrap()),
            ..Installation::default()
        }
    }

    #[test]
    fn what_a_host_runs() {
        let steps = worker(Installation {
            working_dir: "C:\\k0s".to_owned(),
            install_dir: "C:\\Program Files\\k0s".to_owned(),
            args: [
                "--data-dir=C:\\k0s\\data",
                "--kubelet-extra-args=--node-ip=$env:IP",
            ]
            .map(str::to_owned)
            .to_vec(),
            pre_commands: vec!["$env:IP = '10.0.0.1'".to_owned()],
            post_commands: vec!["Write-Host done".to_owned()],
            files: vec![File::new("C:\\etc\\motd", "hello", "")],
            ..version()
        })
        .windows_steps()
        .unwrap();
        let paths: Vec<_> = steps.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["C:\\k0s/k0s.token", "C:\\etc\\motd", SCRIPT]);
        assert_eq!(steps.commands.all(), [RUN]);
        insta::assert_snapshot!(steps.files[2].content);
    }

    #[test]
    fn what_is_not_fetched_and_what_cannot_be() {
        let script = |installation| {
            worker(installation)
                .windows_steps()
                .map(|steps| steps.files[1].content.clone())
        };
        let preinstalled = Installation {
            preinstalled: true,
            ..Installation::default()
        };
        assert!(!script(preinstalled).unwrap().contains("Invoke-WebRequest"));
        let url = |url: &str| Installation {
            download_url: url.to_owned(),
            ..Installation::default()
        };
        assert!(
            script(url("https://example.com/k0s'.exe"))
                .unwrap()
                .contains("-Uri 'https://example.com/k0s''.exe'")
        );
        assert!(
            script(url("oci://example.com/k0s"))
                .unwrap_err()
                .to_string()
                .contains("not supported on Windows")
        );
        assert!(
            script(Installation::default())
                .unwrap_err()
                .to_string()
                .contains("version")
        );
        let relative = Installation {
            working_dir: "k0s".to_owned(),
            ..version()
        };
        assert!(
            script(relative)
                .unwrap_err()
                .to_string()
                .contains("is not an absolute path")
        );
    }
}
