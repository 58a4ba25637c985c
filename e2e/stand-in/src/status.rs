//! The status socket and `k0s status`: who runs, with what arguments, and whether the API answers.
//!
//! A controller opens the socket only after its API server is ready, as k0s does: until then `k0s status` fails.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail};
use axum::{Json, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use crate::{
    cli::StatusArgs,
    config::NodeConfig,
    paths::{Paths, k0s_version},
};

/// What `k0s status -o json` prints; the keys are k0s' own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Status {
    pub version: String,
    pub pid: u32,
    #[serde(rename = "PPid", default)]
    pub parent_pid: u32,
    pub role: String,
    #[serde(default)]
    pub sys_init: String,
    #[serde(default)]
    pub stub_file: String,
    #[serde(default)]
    pub output: String,
    pub workloads: bool,
    pub single_node: bool,
    pub args: Vec<String>,
    #[serde(rename = "WorkerToAPIConnectionStatus")]
    pub worker_connection: Probe,
    pub cluster_config: Option<Value>,
    #[serde(rename = "K0sVars")]
    pub paths: Paths,
}

/// Whether the node's own credentials reach the API.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Probe {
    pub message: String,
    pub success: bool,
}

impl Status {
    /// The status of this process.
    pub fn of_this_process(
        paths: &Paths,
        role: &str,
        workloads: bool,
        single_node: bool,
        node: Option<&NodeConfig>,
    ) -> Self {
        Self {
            version: k0s_version().to_owned(),
            pid: std::process::id(),
            parent_pid: 0,
            role: role.to_owned(),
            sys_init: String::new(),
            stub_file: String::new(),
            output: String::new(),
            workloads,
            single_node,
            args: std::env::args().collect(),
            worker_connection: Probe::default(),
            cluster_config: node.and_then(|node| serde_json::to_value(node).ok()),
            paths: paths.clone(),
        }
    }
}

/// Serves the status until the returned task is aborted.
pub fn serve(status: Status) -> Result<JoinHandle<()>> {
    let socket = status.paths.status_socket_path.clone();
    let _ = std::fs::remove_file(&socket);
    let listener =
        UnixListener::bind(&socket).with_context(|| format!("{} cannot be opened", socket.display()))?;
    let router = Router::new()
        .route("/status", get(answer))
        .with_state(Arc::new(status));
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("the status socket failed: {error}");
        }
    }))
}

/// Removes what [`serve`] left, so that nobody mistakes it for a running instance.
pub fn remove_socket(paths: &Paths) {
    let _ = std::fs::remove_file(&paths.status_socket_path);
}

async fn answer(State(status): State<Arc<Status>>) -> Json<Status> {
    let mut status = Status::clone(&status);
    if status.workloads {
        status.worker_connection = match probe(&status.paths).await {
            Ok(()) => Probe {
                message: String::new(),
                success: true,
            },
            Err(error) => Probe {
                message: format!("{error:#}"),
                success: false,
            },
        };
    }
    Json(status)
}

async fn probe(paths: &Paths) -> Result<()> {
    crate::api::client(&paths.kubelet_kubeconfig())
        .await?
        .apiserver_version()
        .await?;
    Ok(())
}

/// Asks the running instance; an error when none answers.
pub async fn fetch(socket: &Path) -> Result<Status> {
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        // HTTP/1.0: one answer, not chunked, and the end of the stream is the end of the body.
        stream
            .write_all(b"GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = ask.await.with_context(|| {
        format!(
            "status: can't get \"status\" via {:?}",
            socket.display().to_string()
        )
    })?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("status: malformed answer")
    };
    if !head.lines().next().is_some_and(|line| line.contains(" 200 ")) {
        bail!(
            "status: unexpected answer: {}",
            head.lines().next().unwrap_or_default()
        );
    }
    serde_json::from_str(body).context("status: can't decode JSON")
}

/// `k0s status`.
pub async fn run(arguments: &StatusArgs) -> Result<()> {
    let given = Paths::new(None, None, None, arguments.status_socket.as_deref())?;
    let paths = crate::runtime_config::effective_paths(given)?;
    let socket = arguments
        .status_socket
        .as_deref()
        .unwrap_or(&paths.status_socket_path);
    let status = fetch(socket).await?;
    match arguments.out.as_deref() {
        Some("json") => println!("{}", serde_json::to_string_pretty(&status)?),
        Some("yaml") => println!("{}", serde_yaml::to_string(&status)?),
        _ => {
            println!("Version: {}", status.version);
            println!("Process ID: {}", status.pid);
            println!("Role: {}", status.role);
            println!("Workloads: {}", status.workloads);
            println!("SingleNode: {}", status.single_node);
            if status.workloads {
                println!(
                    "Kube-api probing successful: {}",
                    status.worker_connection.success
                );
                println!(
                    "Kube-api probing last error:  {}",
                    status.worker_connection.message
                );
            }
        }
    }
    Ok(())
}
