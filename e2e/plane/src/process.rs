//! Processes that outlive the program that started them, and are found again by the next one.
//!
//! Each has a record `<name>.json` beside its log `<name>.log`. The record names the process by pid *and* start time
//! of the same boot, so that a pid which the kernel has given to somebody else is never taken for ours, let alone
//! killed. Ended processes are not restarted by themselves: the next [`Processes::ensure`] does it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::pki::write_private;
use crate::tethered::tail;
use crate::wait::Patience;

/// How long a process may take to end after SIGTERM before it gets SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// What is to run. The environment is this and `PATH`, nothing inherited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
}

impl Spec {
    pub(crate) fn new(name: &str, program: PathBuf, args: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            program,
            args,
            env: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    identity: Identity,
    spec: Spec,
    /// Inode, size and time of the program: a rebuilt binary is another one.
    build: (u64, u64, i64, i64),
}

/// A process that no other will ever be mistaken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    pid: i32,
    /// Clock ticks since boot, field 22 of `/proc/<pid>/stat`.
    start_time: u64,
    boot: String,
}

/// The processes recorded in one directory.
pub(crate) struct Processes {
    directory: PathBuf,
}

impl Processes {
    pub(crate) fn open(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// Adopts the running process if it is just this one; else stops it and starts a new one.
    pub(crate) async fn ensure(&self, spec: &Spec) -> Result<()> {
        let build = build_of(&spec.program)?;
        if let Some(record) = self.record(&spec.name)?
            && record.identity.is_alive()
        {
            if record.spec == *spec && record.build == build {
                return Ok(());
            }
            self.stop(&spec.name).await?;
        }
        self.start(spec, build)
            .with_context(|| format!("cannot start {}", spec.name))
    }

    /// The pid of `name` while it runs.
    pub(crate) fn pid(&self, name: &str) -> Result<Option<i32>> {
        Ok(self
            .record(name)?
            .map(|record| record.identity)
            .filter(Identity::is_alive)
            .map(|found| found.pid))
    }

    /// # Errors
    /// `name` does not run; the message holds the end of its log.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        if self.pid(name)?.is_none() {
            bail!(
                "{name} does not run; end of {}:\n{}",
                self.log(name).display(),
                tail(&self.log(name))
            );
        }
        Ok(())
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    /// Names of all records, also of processes that have ended.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// SIGTERM, and SIGKILL for who does not listen; then the record goes. Nothing to do is no error.
    pub(crate) async fn stop(&self, name: &str) -> Result<()> {
        let Some(Record { identity, .. }) = self.record(name)? else {
            return Ok(());
        };
        identity.signal(Signal::TERM)?;
        if identity
            .end(&format!("{name} has ended after SIGTERM"), GRACE)
            .await
            .is_err()
        {
            kill(&identity, name).await?;
        }
        self.forget(name)
    }

    /// SIGKILL without warning, as a crash. The record stays, for [`Self::restart`].
    pub(crate) async fn crash(&self, name: &str) -> Result<()> {
        let Some(Record { identity, .. }) = self.record(name)? else {
            bail!("{name} was never started")
        };
        kill(&identity, name).await
    }

    /// Runs what is recorded under `name`, in place of what may still run.
    pub(crate) async fn restart(&self, name: &str) -> Result<()> {
        let Some(Record { spec, .. }) = self.record(name)? else {
            bail!("{name} was never started")
        };
        self.stop(name).await?;
        self.ensure(&spec).await
    }

    /// The child waits for a line on its standard input until its record is on disk: no process is ever unrecorded,
    /// even when this program is killed in between.
    fn start(&self, spec: &Spec, build: (u64, u64, i64, i64)) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(&spec.name))?;
        let mut child = Command::new("setsid")
            .args(["sh", "-c", r#"read -r go && exec "$@" </dev/null"#, "sh"])
            .arg(&spec.program)
            .args(&spec.args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(&spec.env)
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run `setsid` of util-linux")?;
        let pid = i32::try_from(child.id())?;
        let identity = Identity::of(pid).with_context(|| format!("process {pid} ended at once"))?;
        let record = Record {
            identity,
            spec: spec.clone(),
            build,
        };
        let path = self.record_path(&spec.name);
        let partial = path.with_extension("partial");
        write_private(&partial, &serde_json::to_string_pretty(&record)?)?;
        fs::rename(&partial, &path)?;
        child
            .stdin
            .take()
            .context("no pipe to the child")?
            .write_all(b"go\n")?;
        // Reaped when it ends while we live; after that init does it.
        thread::spawn(move || child.wait());
        Ok(())
    }

    fn record(&self, name: &str) -> Result<Option<Record>> {
        let path = self.record_path(name);
        match fs::read(&path) {
            Ok(content) => Ok(Some(
                serde_json::from_slice(&content).with_context(|| format!("{} is damaged", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn forget(&self, name: &str) -> Result<()> {
        let path = self.record_path(name);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    fn record_path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }
}

impl Identity {
    fn of(pid: i32) -> Result<Self> {
        let (_, start_time) = state_and_start_time(pid).context("no such process")?;
        Ok(Self {
            pid,
            start_time,
            boot: boot()?,
        })
    }

    fn is_alive(&self) -> bool {
        let same_boot = boot().is_ok_and(|boot| boot == self.boot);
        // A zombie has ended: it only waits for its parent.
        same_boot
            && state_and_start_time(self.pid)
                .is_some_and(|(state, start_time)| start_time == self.start_time && !"ZX".contains(&state))
    }

    /// Waits for its end.
    async fn end(&self, what: &str, limit: Duration) -> Result<()> {
        let patience = Patience::new(what, limit);
        while self.is_alive() {
            patience.wait().await?;
        }
        Ok(())
    }

    /// To this very process, or to nobody: the pidfd is opened before the identity is checked.
    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid).context("pid 0 in a record")?;
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
            return Ok(());
        };
        if self.is_alive() {
            match pidfd_send_signal(process, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot signal process {}", self.pid));
                }
            }
        }
        Ok(())
    }
}

async fn kill(identity: &Identity, name: &str) -> Result<()> {
    identity.signal(Signal::KILL)?;
    let what = format!("{name} (process {}) has ended after SIGKILL", identity.pid);
    identity.end(&what, KILL_LIMIT).await
}

fn boot() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(path)
        .with_context(|| format!("cannot read {path}"))?
        .trim()
        .to_owned())
}

/// Fields 3 and 22 of `/proc/<pid>/stat`; the name before them may hold blanks and brackets.
fn state_and_start_time(pid: i32) -> Option<(String, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    Some((fields.next()?.to_owned(), fields.nth(18)?.parse().ok()?))
}

fn build_of(program: &Path) -> Result<(u64, u64, i64, i64)> {
    let found = fs::metadata(program).with_context(|| format!("no program {}", program.display()))?;
    Ok((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::wait::Patience;

    use super::{Processes, Spec};

    fn sleeper(seconds: &str) -> Spec {
        Spec::new("sleeper", "/bin/sleep".into(), vec![seconds.into()])
    }

    #[tokio::test]
    async fn adopts_what_runs_and_replaces_what_differs() {
        let root = tempfile::tempdir().unwrap();
        let processes = Processes::open(root.path().into()).unwrap();
        processes.ensure(&sleeper("60")).await.unwrap();
        let first = processes.pid("sleeper").unwrap().unwrap();

        // As another program would, that knows the directory only.
        let processes = Processes::open(root.path().into()).unwrap();
        processes.ensure(&sleeper("60")).await.unwrap();
        assert_eq!(processes.pid("sleeper").unwrap(), Some(first));

        processes.ensure(&sleeper("61")).await.unwrap();
        let second = processes.pid("sleeper").unwrap().unwrap();
        assert_ne!(second, first);

        processes.crash("sleeper").await.unwrap();
        assert!(processes.check("sleeper").is_err());
        processes.restart("sleeper").await.unwrap();
        assert!(processes.pid("sleeper").unwrap().is_some());

        processes.stop("sleeper").await.unwrap();
        assert_eq!(processes.names().unwrap(), Vec::<String>::new());
        processes.stop("sleeper").await.unwrap();
    }

    #[tokio::test]
    async fn who_inherited_the_pid_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let processes = Processes::open(root.path().into()).unwrap();
        processes.ensure(&sleeper("60")).await.unwrap();
        let pid = processes.pid("sleeper").unwrap().unwrap();

        let path = root.path().join("sleeper.json");
        let record = fs::read_to_string(&path).unwrap();
        let mut other: serde_json::Value = serde_json::from_str(&record).unwrap();
        other["identity"]["start_time"] = 1.into();
        fs::write(&path, other.to_string()).unwrap();
        assert_eq!(processes.pid("sleeper").unwrap(), None);
        processes.stop("sleeper").await.unwrap();
        assert!(
            fs::exists(format!("/proc/{pid}")).unwrap(),
            "a stranger was killed"
        );

        fs::write(&path, record).unwrap();
        processes.stop("sleeper").await.unwrap();
        assert!(super::state_and_start_time(pid).is_none_or(|(state, _)| state == "Z"));
    }

    #[tokio::test]
    async fn an_ended_process_is_reported_with_its_last_words() {
        let root = tempfile::tempdir().unwrap();
        let processes = Processes::open(root.path().into()).unwrap();
        let spec = Spec::new(
            "sh",
            "/bin/sh".into(),
            vec!["-c".into(), "echo port in use; exit 1".into()],
        );
        processes.ensure(&spec).await.unwrap();
        let limit = std::time::Duration::from_secs(5);
        let patience = Patience::new("ended", limit);
        while processes.pid("sh").unwrap().is_some() {
            patience.wait().await.unwrap();
        }
        let message = processes.check("sh").unwrap_err().to_string();
        assert!(message.contains("port in use"), "{message}");
    }
}
