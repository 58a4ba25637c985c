//! The texts that are sent to a host. Pure: from what is to be done to one script for the standard input of one `sh`.
//!
//! A script is sent whole over one channel, and says its answer in one line ([`super::answer`]): hosts may be far
//! away, and every further round trip is paid once per machine. What it does on the host is written in the `.sh`
//! files beside this one.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k0smotron_ssh::quote;
use secrecy::SecretSlice;
use sha2::{Digest, Sha256};

/// Longest that one command of the bootstrap data may take: a download over a slow line, or a package manager.
pub const BOOTSTRAP_STEP: Duration = Duration::from_secs(10 * 60);
/// Longest that one step of the clean-up may take.
pub const CLEANUP_STEP: Duration = Duration::from_secs(150);

/// Who asks: what the host is locked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Random, persisted on the RemoteMachine before the first connection.
    pub install_id: String,
    /// The RemoteMachine, for people who look at the host: `<namespace>/<name> of cluster <name>`.
    pub owner: String,
    /// Name of the Machine, which k0s' service carries.
    pub machine: String,
}

/// A file to be written, as the bootstrap data has it.
#[derive(Clone, PartialEq, Eq)]
pub struct HostFile {
    /// Absolute, without line breaks.
    pub path: String,
    /// As in `chmod`: `0o600`.
    pub mode: u32,
    /// `user` or `user:group`; whoever the commands run as when absent.
    pub owner: Option<String>,
    /// Added to the file that is there, once, instead of replacing it.
    pub append: bool,
    pub content: Vec<u8>,
}

/// What sets a host up: files, then commands, in order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bootstrap {
    pub files: Vec<HostFile>,
    /// Shell text, one step each.
    pub commands: Vec<String>,
}

/// What takes a machine off its host.
#[derive(Clone, PartialEq, Eq)]
pub enum Cleanup {
    /// Stops k0s, resets it, verifies that nothing of it is left.
    Reset,
    /// The user's commands, and nothing else.
    Commands(Vec<String>),
}

/// Where things are on the host, and how long is waited. Only tests have other values than the default.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Put before every fixed path.
    pub root: String,
    pub step: Duration,
    /// How long a script waits for the end of what it began, before it answers [`super::Answer::Running`].
    pub wait: Duration,
}

impl Settings {
    /// For commands that may each take `step`.
    pub fn new(step: Duration) -> Self {
        Self {
            root: String::new(),
            step,
            wait: Duration::from_secs(120),
        }
    }
}

/// A script with secrets in it. `Debug` prints none of them.
pub type Script = SecretSlice<u8>;

const COMMON: &str = include_str!("common.sh");
const RUNNER: &str = include_str!("runner.sh");
const BOOTSTRAP: &str = include_str!("bootstrap.sh");
const CLEANUP: &str = include_str!("cleanup.sh");
const RESET: &str = include_str!("reset.sh");

/// Sets the host up, or goes on with it.
pub fn bootstrap(identity: &Identity, work: &Bootstrap, settings: &Settings) -> Script {
    let mut stage = String::new();
    for file in &work.files {
        let owner = quote(file.owner.as_deref().unwrap_or_default());
        let append = if file.append {
            short_digest(&file.content)
        } else {
            "''".to_owned()
        };
        put(
            &mut stage,
            &format!("file {} {:04o} {owner} {append}", quote(&file.path), file.mode),
            &file.content,
        );
    }
    steps(&mut stage, &work.commands);
    assemble(identity, settings, "", &stage, BOOTSTRAP)
}

/// Takes the machine off the host. `owned`: the machine is known to have been provisioned there.
pub fn cleanup(identity: &Identity, work: &Cleanup, owned: bool, settings: &Settings) -> Script {
    let mut stage = String::new();
    match work {
        Cleanup::Reset => steps(&mut stage, &[format!("root={}\n{RESET}", quote(&settings.root))]),
        Cleanup::Commands(commands) => steps(&mut stage, commands),
    }
    let owned = if owned { "owned=yes\n" } else { "owned=no\n" };
    assemble(identity, settings, owned, &stage, CLEANUP)
}

/// Steps are named by position and content, so that a marker of success never stands for another command.
fn steps(stage: &mut String, commands: &[String]) {
    for (position, command) in commands.iter().enumerate() {
        put(
            stage,
            &format!("step {:04}-{}", position + 1, short_digest(command.as_bytes())),
            command.as_bytes(),
        );
    }
}

fn short_digest(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .take(6)
        .fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// A line that reads the content, as base64, from a here-document.
fn put(stage: &mut String, line: &str, content: &[u8]) {
    stage.push_str(line);
    stage.push_str(" <<'.'\n");
    let encoded = STANDARD.encode(content);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        // Tools disagree about the longest line of base64; all of them read this.
        let (line, after) = rest.split_at(rest.len().min(76));
        stage.push_str(line);
        stage.push('\n');
        rest = after;
    }
    stage.push_str(".\n");
}

fn assemble(identity: &Identity, settings: &Settings, more: &str, stage: &str, body: &str) -> Script {
    let mut runner = String::new();
    put(&mut runner, "base64 -d >\"$state/runner\"", RUNNER.as_bytes());
    // Everything is inside one function: a script that was cut on its way does nothing.
    let text = format!(
        "main() {{\nroot={root}\nid={id}\nowner={owner}\nmachine={machine}\nlimit={limit}\nstep_seconds={step}\n\
         {more}{COMMON}\nstage() {{\n:\n{runner}{stage}}}\n{body}}}\nmain\n",
        root = quote(&settings.root),
        id = quote(&identity.install_id),
        owner = quote(&identity.owner),
        machine = quote(&identity.machine),
        limit = settings.wait.as_secs(),
        step = settings.step.as_secs(),
    );
    Script::from(text.into_bytes())
}
