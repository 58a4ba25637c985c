//! Commands and files on a host, over any [`Connection`].

use std::fmt;
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::transport::{Connection, Exec, ExitStatus, RawOutput};
use crate::{Command, Elevation, Error, HostKey, HostKeyPolicy, Output, Target};

/// How much of each of stdout and stderr of a command is kept, in bytes.
const KEPT_OUTPUT: usize = 64 * 1024;

/// What came of a connection attempt.
#[derive(Debug)]
pub enum Connected {
    /// The host presented a pinned key.
    Known(Session),
    /// The host, or one on the way to it, was met for the first time, under
    /// [`HostKeyPolicy::FirstUse`](crate::HostKeyPolicy::FirstUse). Its key has to be stored before anything can be run.
    FirstUse(FirstContact),
}

impl Connected {
    /// For implementations of [`Transport`](crate::Transport): a connection that was made to `target`, and the keys that
    /// the hosts on the way presented, in the order of [`Target::hops`]. They have been checked against the pins.
    pub fn new(connection: Box<dyn Connection>, target: &Target, host_keys: Vec<HostKey>) -> Self {
        let is_new = |hop: &Target| matches!(hop.host_keys, HostKeyPolicy::FirstUse);
        let new_hosts: Vec<_> = target
            .hops()
            .into_iter()
            .zip(&host_keys)
            .filter(|(hop, _)| is_new(hop))
            .map(|(hop, host_key)| NewHost {
                endpoint: hop.endpoint(),
                is_target: std::ptr::eq(hop, target),
                host_key: host_key.clone(),
            })
            .collect();
        let session = Session {
            connection,
            endpoint: target.endpoint(),
            user: target.user.clone(),
            elevation: target.effective_elevation(),
            elevation_checked: OnceCell::new(),
            host_keys,
        };
        if new_hosts.is_empty() {
            Self::Known(session)
        } else {
            Self::FirstUse(FirstContact { session, new_hosts })
        }
    }
}

/// A host whose key has to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHost {
    /// `address:port`, as seen from the host before it.
    pub endpoint: String,
    /// Whether this is the host that was to be reached, and not one on the way to it.
    pub is_target: bool,
    /// The key that it presented.
    pub host_key: HostKey,
}

/// A host that is met for the first time, or after others that are: logged in, nothing run.
///
/// The only way on is [`pinned`](Self::pinned), so that no command can run on a host whose key would be
/// forgotten: if the caller dies after the first command, the next attempt must know the host again.
#[derive(Debug)]
pub struct FirstContact {
    session: Session,
    new_hosts: Vec<NewHost>,
}

impl FirstContact {
    /// Whose keys are to be stored; at least one.
    pub fn new_hosts(&self) -> &[NewHost] {
        &self.new_hosts
    }

    /// The caller has stored the keys where the next connection finds them.
    pub fn pinned(self) -> Session {
        self.session
    }
}

/// A host that is ready for commands. Several may run at the same time. Dropping the session cuts the
/// connection; [`close`](Self::close) is the polite way.
pub struct Session {
    connection: Box<dyn Connection>,
    endpoint: String,
    user: String,
    elevation: Elevation,
    elevation_checked: OnceCell<()>,
    host_keys: Vec<HostKey>,
}

impl Session {
    /// The key that the host presented, after those of the hosts on the way.
    pub fn host_keys(&self) -> &[HostKey] {
        &self.host_keys
    }

    /// `address:port` of the host.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Runs a command with `sh -c`, elevated if the target says so, and waits for its end.
    ///
    /// A command that ends with another status than 0 is no error: see [`Output::success`]. The call ends
    /// when the command has ended *and* all its output was read, so what a command leaves behind in the
    /// background must not hold its stdout and stderr: `setsid sh -c '...' </dev/null >log 2>&1 &` returns at
    /// once.
    ///
    /// After `deadline`, or when the future is dropped, the server is asked to end the command (OpenSSH does
    /// so only for commands that run as the user who logged in, and not for root) and the channel is closed.
    /// What ignores that goes on until it writes into the closed channel, and holds one of the session slots
    /// of the server (`MaxSessions`, 10 by default): drop the session after [`Error::Deadline`].
    ///
    /// # Errors
    /// [`Error::ElevationRefused`], [`Error::Deadline`], [`Error::Disconnected`],
    /// [`Error::ExecutionRefused`].
    pub async fn run(&self, command: &Command, deadline: Duration) -> Result<Output, Error> {
        let words = ["sh", "-c", &command.line];
        let raw = self
            .elevated(&words, &command.stdin, KEPT_OUTPUT, &command.name, deadline)
            .await?;
        Ok(raw.into())
    }

    /// Writes a file: beside its place first, there under its name by a rename, so that a reader (and whoever
    /// looks after a crash) finds the old content or the new, never a part. An existing file or symbolic link
    /// is replaced.
    ///
    /// `mode` is the permissions as in `chmod` (`0o600`); at no moment are they wider. Missing directories
    /// are created with 0755. Elevated, everything belongs to root, else to the user. `path` is absolute.
    ///
    /// # Errors
    /// [`Error::InvalidPath`], [`Error::File`] (with what the host said), and those of [`run`](Self::run).
    pub async fn put(&self, path: &str, mode: u32, content: &[u8], deadline: Duration) -> Result<(), Error> {
        let directory = self.directory_of(path)?;
        let suffix: u64 = rand::random();
        let temporary = format!("{directory}/.k0smotron-{suffix:016x}");
        let (mode, size) = (format!("{:o}", mode & 0o7777), content.len().to_string());
        let words = ["sh", "-c", PUT, "put", path, directory, &temporary, &mode, &size];
        let name = format!("writing {path}");
        let raw = self
            .elevated(&words, content, KEPT_OUTPUT, &name, deadline)
            .await?;
        match Output::from(raw) {
            output if output.success() => Ok(()),
            output => Err(self.file_error("write", path, said(&output))),
        }
    }

    /// The content of a file of at most `limit` bytes, or `None` if there is no such file.
    ///
    /// # Errors
    /// [`Error::InvalidPath`], [`Error::File`] (also if the file is larger), and those of [`run`](Self::run).
    pub async fn read_small(
        &self,
        path: &str,
        limit: usize,
        deadline: Duration,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.directory_of(path)?;
        let one_more = limit.saturating_add(1);
        let count = one_more.to_string();
        let words = ["sh", "-c", READ, "read", path, &count];
        // Twice, since each half of the capture must be able to hold all of it.
        let keep = one_more.max(KEPT_OUTPUT).saturating_mul(2);
        let raw = self
            .elevated(&words, b"", keep, &format!("reading {path}"), deadline)
            .await?;
        if raw.exit != ExitStatus::Code(0) {
            let said = said(&raw.into());
            // The exit status is 1 for whatever went wrong; a file behind a forbidden directory is not a
            // missing one.
            return if said.ends_with("No such file or directory") {
                Ok(None)
            } else {
                Err(self.file_error("read", path, said))
            };
        }
        match raw.stdout.into_bytes() {
            Some(bytes) if bytes.len() <= limit => Ok(Some(bytes)),
            _ => Err(self.file_error("read", path, format!("it is larger than {limit} bytes"))),
        }
    }

    /// Says good-bye and closes the connection.
    pub async fn close(self) {
        self.connection.close().await;
    }

    /// Executes a program with these words, as root if the target says so.
    async fn elevated(
        &self,
        words: &[&str],
        stdin: &[u8],
        keep: usize,
        name: &str,
        deadline: Duration,
    ) -> Result<RawOutput, Error> {
        let mut left = deadline;
        if let Some(program) = self.elevation.program() {
            let start = Instant::now();
            self.elevation_checked
                .get_or_try_init(|| self.check_elevation(program, deadline))
                .await?;
            left = left.saturating_sub(start.elapsed());
        }
        self.connection
            .exec(Exec {
                line: &self.elevation.line(words),
                stdin: &self.elevation.input(stdin),
                keep,
                name,
                deadline: left,
            })
            .await
    }

    /// Asks once whether we are let, since the exit status of `sudo -- command` does not tell a refusal from a
    /// failed command.
    async fn check_elevation(&self, program: &'static str, deadline: Duration) -> Result<(), Error> {
        let raw = self
            .connection
            .exec(Exec {
                line: &self.elevation.line(&["true"]),
                stdin: &self.elevation.password_line(),
                keep: KEPT_OUTPUT,
                name: &format!("becoming root with {program}"),
                deadline,
            })
            .await?;
        match Output::from(raw) {
            output if output.success() => Ok(()),
            output => {
                let cause = said(&output);
                Err(Error::ElevationRefused {
                    address: self.endpoint.clone(),
                    user: self.user.clone(),
                    program,
                    remedy: self.elevation.remedy(&self.user, &output.stderr),
                    cause,
                })
            }
        }
    }

    /// The directory of an absolute path that can name a file.
    fn directory_of<'p>(&self, path: &'p str) -> Result<&'p str, Error> {
        let invalid = |cause| Error::InvalidPath {
            address: self.endpoint.clone(),
            path: path.to_owned(),
            cause,
        };
        if path.contains('\0') {
            return Err(invalid("it contains a NUL byte"));
        }
        match path.rsplit_once('/') {
            Some((directory, name)) if path.starts_with('/') => match name {
                "" | "." | ".." => Err(invalid("it ends like a directory")),
                _ => Ok(directory),
            },
            _ => Err(invalid("it is not absolute")),
        }
    }

    fn file_error(&self, verb: &'static str, path: &str, cause: String) -> Error {
        Error::File {
            address: self.endpoint.clone(),
            verb,
            path: path.to_owned(),
            cause,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("endpoint", &self.endpoint)
            .field("user", &self.user)
            .field("elevation", &self.elevation)
            .field("host_keys", &self.host_keys)
            .finish_non_exhaustive()
    }
}

/// Writes stdin to a file. `$1` path, `$2` its directory (empty for `/`), `$3` temporary file, `$4` mode,
/// `$5` size.
///
/// * `set -C` makes `>` fail on anything that exists, a link put there by somebody else included.
/// * The size is compared because a connection that breaks looks like the end of the file.
/// * A directory in the place of the file is refused: `mv` would move the file into it.
const PUT: &str = r#"set -e
umask 022
mkdir -p -- "$2/"
if [ -d "$1" ]; then echo "there is a directory of that name" >&2; exit 1; fi
umask 077
set -C
trap 'rm -f -- "$3"' EXIT
trap 'exit 1' HUP INT PIPE TERM
cat > "$3"
if [ "$(($(wc -c < "$3")))" -ne "$5" ]; then echo "the content did not arrive completely" >&2; exit 1; fi
chmod "$4" "$3"
mv -f -- "$3" "$1"
trap - EXIT"#;

/// Prints the first `$2` bytes of the file `$1`. The language is set for the sake of the error message.
const READ: &str = r#"LC_ALL=C; export LC_ALL; exec head -c "$2" -- "$1""#;

/// What a failed command said, in one line.
fn said(output: &Output) -> String {
    match (output.last_line(), &output.signal) {
        ("", None) => format!("exit status {}", output.exit_status),
        ("", Some(signal)) => format!("ended by signal {signal}"),
        (line, _) => line.to_owned(),
    }
}

#[cfg(test)]
mod tests;
