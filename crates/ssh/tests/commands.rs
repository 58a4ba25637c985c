//! Commands against a real OpenSSH server: how they end, what is kept of their output, and what deadlines do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure ends the test"
)]

mod support;

use std::time::{Duration, Instant};

use k0smotron_ssh::{Command, Error, Session};
use support::{LONG, Sshd};

async fn run(session: &Session, line: &str) -> (i32, String, String) {
    let output = session.run(&Command::new(line), LONG).await.unwrap();
    assert_eq!(output.signal, None);
    (output.exit_status, output.stdout, output.stderr)
}

/// Waits until the condition holds; for what happens on the host after a call has ended.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn status_and_output_of_a_command() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    assert_eq!(
        run(&session, "echo out; echo err >&2").await,
        (0, "out\n".into(), "err\n".into())
    );
    for status in [1, 42, 127, 255] {
        assert_eq!(run(&session, &format!("exit {status}")).await.0, status);
    }
    // Each command is a shell of its own.
    run(&session, "cd /; FOO=bar").await;
    assert_eq!(run(&session, "echo \"$FOO\"").await.1, "\n");
    let words = ["printf", "%s|", "a b", "$HOME", "it's", "*", "\n"];
    let output = session.run(&Command::args(words), LONG).await.unwrap();
    assert_eq!(output.stdout, "a b|$HOME|it's|*|\n|");
    session.close().await;
}

#[tokio::test]
async fn a_command_that_dies_of_a_signal_says_so() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    for (signal, status) in [("KILL", 137), ("TERM", 143), ("SEGV", 139)] {
        let output = session
            .run(&Command::new(format!("kill -{signal} $$")), LONG)
            .await
            .unwrap();
        assert_eq!(
            (output.signal.as_deref(), output.exit_status),
            (Some(signal), status)
        );
        assert!(!output.success());
    }
}

#[tokio::test]
async fn standard_input_is_delivered_whole_and_ends() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    assert_eq!(run(&session, "cat").await.1, "");
    let input: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let output = session
        .run(&Command::new("wc -c; cat >/dev/null").stdin(input.clone()), LONG)
        .await
        .unwrap();
    assert_eq!(output.stdout.trim(), input.len().to_string());
    // A command that ends without reading, and one that prints while it reads.
    assert_eq!(
        session
            .run(&Command::new("exit 3").stdin(input.clone()), LONG)
            .await
            .unwrap()
            .exit_status,
        3
    );
    assert!(
        session
            .run(&Command::new("cat").stdin(input), LONG)
            .await
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn of_endless_output_both_ends_are_kept() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    let line = "echo first; yes | head -c 20000000; echo last; echo oops >&2; exit 7";
    let (status, stdout, stderr) = run(&session, line).await;
    assert_eq!((status, stderr.as_str()), (7, "oops\n"));
    assert!(stdout.starts_with("first\n") && stdout.ends_with("last\n"));
    assert!(
        stdout.contains("bytes left out") && stdout.len() < 70 * 1024,
        "{}",
        stdout.len()
    );
    let (_, _, stderr) = run(&session, "head -c 1000000 /dev/zero | tr '\\0' e >&2").await;
    assert!(
        stderr.contains("bytes left out") && stderr.len() < 70 * 1024,
        "{}",
        stderr.len()
    );
}

#[tokio::test]
async fn a_command_that_hangs_is_given_up_at_its_deadline() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    let pid = sshd.path("pid");
    let hang = Command::new(format!("echo $$ > {}; exec sleep 100", pid.display())).named("hanging around");
    let start = Instant::now();
    let error = session.run(&hang, Duration::from_millis(500)).await.unwrap_err();
    assert!(start.elapsed() < LONG / 2);
    let expected = Error::Deadline {
        address: session.endpoint().into(),
        what: "hanging around".into(),
        after: Duration::from_millis(500),
    };
    assert_eq!(error, expected);
    assert_eq!((error.reason(), error.is_retryable()), ("DeadlineExceeded", true));
    assert!(error.to_string().starts_with(&format!(
        "hanging around on {} took longer than 0.5 s",
        session.endpoint()
    )));
    // The session is still good. The command may be alive: OpenSSH passes no signals to commands of root.
    assert_eq!(run(&session, "echo on").await.1, "on\n");
    run(
        &session,
        &format!("kill {}", std::fs::read_to_string(pid).unwrap().trim()),
    )
    .await;
}

#[tokio::test]
async fn a_dropped_call_closes_its_channel() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    // More than MaxSessions (10): channels that stay open would be missing at the end.
    for _ in 0..12 {
        // Ends as soon as nobody reads.
        let hang = Command::new("while echo still here; do sleep 0.02; done");
        let call = session.run(&hang, LONG);
        assert!(
            tokio::time::timeout(Duration::from_millis(200), call)
                .await
                .is_err()
        );
    }
    assert!(session.run(&Command::new("true"), LONG).await.unwrap().success());
}

#[tokio::test]
async fn a_detached_command_returns_at_once_and_lives_on() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    let (log, gate) = (sshd.path("log file"), sshd.path("gate"));
    let script = format!(
        "echo started; while [ ! -e {} ]; do sleep 0.05; done; echo ended",
        k0smotron_ssh::quote(&gate.display().to_string())
    );
    let line = format!(
        "setsid sh -c {} </dev/null >{} 2>&1 &",
        k0smotron_ssh::quote(&script),
        k0smotron_ssh::quote(&log.display().to_string())
    );
    assert_eq!(run(&session, &line).await.0, 0);
    session.close().await;
    eventually("the command did not start", || {
        std::fs::read_to_string(&log).is_ok_and(|l| l == "started\n")
    })
    .await;
    std::fs::write(&gate, "").unwrap();
    eventually("the command did not live on", || {
        std::fs::read_to_string(&log).is_ok_and(|l| l.ends_with("ended\n"))
    })
    .await;
}

#[tokio::test]
async fn commands_of_one_session_run_side_by_side() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    let (fifo, start) = (sshd.path("fifo"), Instant::now());
    assert!(run(&session, &format!("mkfifo {}", fifo.display())).await.0 == 0);
    // Each waits for the other.
    let writer = format!("echo hello > {}", fifo.display());
    let reader = format!("cat {}", fifo.display());
    let ((_, heard, _), _) = tokio::join!(run(&session, &reader), run(&session, &writer));
    assert_eq!(heard, "hello\n");
    assert!(start.elapsed() < LONG);
}

#[tokio::test]
async fn a_long_command_line_arrives() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    let text = "word ".repeat(20_000);
    let (_, length, _) = run(
        &session,
        &format!("printf %s {} | wc -c", k0smotron_ssh::quote(&text)),
    )
    .await;
    assert_eq!(length.trim(), text.len().to_string());
}

#[tokio::test]
async fn a_connection_that_breaks_while_a_command_runs_is_an_error_of_its_own() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    // The parent of the command is the server's process for this connection.
    let error = session
        .run(&Command::new("kill -KILL $PPID").named("testing"), LONG)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Disconnected { what, .. } if what == "testing"),
        "{error}"
    );
    assert_eq!((error.reason(), error.is_retryable()), ("ConnectionLost", true));
    assert!(error.to_string().contains(session.endpoint()), "{error}");
    let after = session.run(&Command::new("true"), LONG).await.unwrap_err();
    assert_eq!(after.reason(), "ConnectionLost");
}

#[tokio::test]
async fn a_host_that_does_not_execute_commands_says_so() {
    let mut sshd = Sshd::start();
    sshd.configure("MaxSessions 0\n");
    let session = sshd.session().await;
    let error = session.run(&Command::new("true"), LONG).await.unwrap_err();
    assert!(matches!(error, Error::ExecutionRefused { .. }), "{error}");
    assert!(error.to_string().contains("MaxSessions"), "{error}");
}
