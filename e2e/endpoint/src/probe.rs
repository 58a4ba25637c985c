//! Asks an endpoint again and again whether it is ready, and knows afterwards how long it was not.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use kube::{Client, Config};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Requests begin this far apart, whether or not earlier ones have been answered: the resolution of what is found.
const INTERVAL: Duration = Duration::from_millis(50);
/// A request without an answer by then has none.
const DEADLINE: Duration = Duration::from_secs(2);
/// Shorter times without an answer are not worth a line.
const NOTEWORTHY: Duration = Duration::from_millis(250);

/// A running probe.
pub struct Probe {
    end: oneshot::Sender<()>,
    found: JoinHandle<Availability>,
}

/// What a probe has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    pub answered: usize,
    pub failed: usize,
    /// Longest time between two answers that followed each other, between the begin of the probe and the first one, or
    /// between the last one and its end.
    pub longest_gap: Duration,
    /// When the noteworthy times without an answer began, counted from the begin of the probe, and how long they were.
    pub gaps: Vec<(Duration, Duration)>,
    /// What the failed requests said, each text once.
    pub errors: Vec<String>,
    pub began: SystemTime,
}

impl Probe {
    /// Asks `/readyz` of the endpoint in `config` with the credentials in it. Every request has a connection of its
    /// own: one that is kept would show only what a single server does.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn start(mut config: Config) -> Result<Self> {
        config.connect_timeout = Some(DEADLINE);
        config.read_timeout = Some(DEADLINE);
        config.default_retry = false;
        let client = Client::try_from(config).context("cannot probe")?;
        let (end, ended) = oneshot::channel();
        Ok(Self {
            end,
            found: tokio::spawn(probe(client, ended)),
        })
    }

    /// Ends the probe.
    ///
    /// # Errors
    /// It has panicked.
    pub async fn finish(self) -> Result<Availability> {
        let _ = self.end.send(());
        self.found.await.context("the probe has ended by itself")
    }
}

async fn probe(client: Client, mut ended: oneshot::Receiver<()>) -> Availability {
    let (began, start) = (SystemTime::now(), Instant::now());
    let (sender, mut answers) = mpsc::unbounded_channel();
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut ended => break,
            _ = ticks.tick() => {}
        }
        let (client, sender) = (client.clone(), sender.clone());
        tokio::spawn(async move {
            let result = ask(client).await;
            let _ = sender.send((Instant::now(), result));
        });
    }
    // What is still under way at the end neither counts as an answer nor as a failure.
    let end = Instant::now();
    let mut times = vec![start];
    let (mut failed, mut errors) = (0, Vec::new());
    while let Ok((time, result)) = answers.try_recv() {
        match result {
            Ok(()) => times.push(time),
            Err(error) => {
                failed += 1;
                let text = format!("{error:#}");
                if !errors.contains(&text) {
                    errors.push(text);
                }
            }
        }
    }
    let answered = times.len().saturating_sub(1);
    times.push(end);
    times.sort();
    let gaps: Vec<_> = times
        .iter()
        .zip(times.iter().skip(1))
        .map(|(from, to)| (from.duration_since(start), to.duration_since(*from)))
        .collect();
    Availability {
        answered,
        failed,
        longest_gap: gaps.iter().map(|(_, gap)| *gap).max().unwrap_or_default(),
        gaps: gaps.into_iter().filter(|(_, gap)| *gap >= NOTEWORTHY).collect(),
        errors,
        began,
    }
}

async fn ask(client: Client) -> Result<()> {
    let request = http::Request::get("/readyz")
        .header(http::header::CONNECTION, "close")
        .body(Vec::new())?;
    timeout(DEADLINE, client.request_text(request)).await??;
    Ok(())
}
