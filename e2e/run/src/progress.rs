//! One line for each long step, with what it took.

use std::{
    future::Future,
    io::Write,
    time::{Duration, Instant},
};

/// Runs a step and says what it is and how long it took.
pub async fn step<T>(what: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    print!("{what} … ");
    let _ = std::io::stdout().flush();
    let begun = Instant::now();
    let result = work.await;
    match &result {
        Ok(_) => println!("{}", seconds(begun.elapsed())),
        Err(_) => println!("failed after {}", seconds(begun.elapsed())),
    }
    result
}

/// `4.2 s`
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Asks until there is an answer; fails with what was last in the way when the time is over.
///
/// # Errors
/// When `limit` passed without an answer, with the last error that `ask` met.
pub async fn until<T, Answer>(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut ask: impl FnMut() -> Answer,
) -> anyhow::Result<T>
where
    Answer: Future<Output = anyhow::Result<Option<T>>>,
{
    let begun = Instant::now();
    let mut last = None;
    while begun.elapsed() < limit {
        match ask().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(pause).await;
    }
    let message = format!("{what}: not so after {}", seconds(limit));
    Err(match last {
        Some(error) => error.context(message),
        None => anyhow::anyhow!(message),
    })
}
