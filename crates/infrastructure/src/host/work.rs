//! One attempt on one host: connect, know the host, send a script, wait for its answer. Everything has a deadline, and
//! every attempt may be the second one.

use std::{collections::BTreeMap, future::Future, time::Duration};

use k0smotron_ssh::{Command, Connected, NewHost, Session, Target, Transport};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{
    Answer, Problem,
    redact::Secrets,
    script::{Script, Settings},
};

/// To a session with each host on the way: TCP, key exchange, login.
const CONNECT: Duration = Duration::from_secs(15);
/// What sending a script and staging its files may take beside the waiting.
const TRANSFER: Duration = Duration::from_secs(60);
/// How often a job that was ended from outside is begun again within one attempt.
const INTERRUPTIONS: usize = 3;

/// What is asked of a host.
pub struct Work<'a> {
    pub target: &'a Target,
    pub script: &'a Script,
    pub settings: &'a Settings,
    /// "bootstrap" or "clean-up": how messages call it.
    pub name: &'a str,
    /// How many commands it has.
    pub steps: usize,
    /// What its commands must not tell anybody.
    pub secrets: &'a Secrets,
    /// How to accept a host on the way whose key changed, by its `address:port`.
    pub on_changed_key: &'a BTreeMap<String, String>,
    /// For the whole attempt.
    pub deadline: Duration,
}

/// Does the work. `pin` stores the keys of hosts that are met for the first time; nothing is run before it did.
///
/// # Errors
/// Whatever kept the host from giving a final answer, and every answer that is a failure.
pub async fn attempt<Pin, Pinned>(
    transport: &dyn Transport,
    work: &Work<'_>,
    pin: Pin,
) -> Result<Answer, Problem>
where
    Pin: FnOnce(Vec<NewHost>) -> Pinned,
    Pinned: Future<Output = Result<(), Problem>>,
{
    let ends = Instant::now() + work.deadline;
    let of_ssh = |error: k0smotron_ssh::Error| Problem::of_ssh(&error, work.on_changed_key);
    let hops = u32::try_from(work.target.hops().len()).unwrap_or(u32::MAX);
    let connect = CONNECT.saturating_mul(hops).min(work.deadline);
    let begun = Instant::now();
    let session = match transport.connect(work.target, connect).await.map_err(of_ssh)? {
        Connected::Known(session) => session,
        Connected::FirstUse(contact) => {
            pin(contact.new_hosts().to_vec()).await?;
            contact.pinned()
        }
    };
    tracing::debug!(host = session.endpoint(), work = work.name, took = ?begun.elapsed(), "connected");
    let answer = converse(&session, work, ends).await;
    tracing::debug!(host = session.endpoint(), work = work.name, took = ?begun.elapsed(), ok = answer.is_ok(), "answered");
    session.close().await;
    match answer? {
        good @ (Answer::Done { .. } | Answer::Clean) => Ok(good),
        bad => Err(Problem::of_answer(
            bad,
            &work.target.endpoint(),
            work.name,
            work.steps,
            work.secrets,
        )),
    }
}

/// Asks until the answer is final.
async fn converse(session: &Session, work: &Work<'_>, ends: Instant) -> Result<Answer, Problem> {
    let command = Command::new("exec sh -s")
        .stdin(work.script.expose_secret())
        .named(format!("the {}", work.name));
    let mut interruptions = 0;
    loop {
        let left = ends.saturating_duration_since(Instant::now());
        let once = (work.settings.wait + TRANSFER).min(left);
        let output = session
            .run(&command, once)
            .await
            .map_err(|error| Problem::of_ssh(&error, work.on_changed_key))?;
        match Answer::parse(&output.stdout) {
            Some(Answer::Running) if Instant::now() < ends => {}
            Some(Answer::Interrupted) if interruptions < INTERRUPTIONS => interruptions += 1,
            Some(answer) => return Ok(answer),
            None => {
                return Err(Problem::passing(
                    "HostNotUsable",
                    format!(
                        "the shell of {} ended with exit status {} and without an answer: {}",
                        session.endpoint(),
                        output.exit_status,
                        work.secrets.redact(output.last_line()),
                    ),
                ));
            }
        }
    }
}
