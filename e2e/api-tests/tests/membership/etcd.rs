//! A cluster of real etcd processes on loopback: at most one for each host of the model, named after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use k0smotron_e2e_components::{Component, ensure as ensure_component};
use k0smotron_e2e_plane::{Tethered, free_port};
use kube::{Client, Config};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// An answer that takes longer is none.
const ANSWER: Duration = Duration::from_millis(1500);
/// Within which etcd does what it is asked for, once it can: it wants members to have been connected for five seconds
/// before it lets any other one come or go.
const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// The processes, by number of the host.
pub struct Etcd {
    // Dropped before the directory that they write to.
    members: BTreeMap<u8, Member>,
    program: PathBuf,
    directory: TempDir,
}

struct Member {
    /// etcd's name for it.
    id: String,
    arguments: Vec<String>,
    process: Option<Tethered>,
    client: Client,
}

/// Why etcd did not do something.
#[derive(Debug)]
pub enum Refusal {
    /// It said so.
    Refused(String),
    NoAnswer(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(out, "refused: {why}"),
            Self::NoAnswer(why) => write!(out, "no answer: {why}"),
        }
    }
}

/// A member, as others tell of it: number of its host, and whether it is a learner.
pub type Listed = (u8, bool);

impl Etcd {
    /// No member yet. Builds etcd when it is not built.
    pub async fn new() -> Result<Self> {
        let built = tokio::task::spawn_blocking(|| ensure_component(Component::Etcd)).await??;
        Ok(Self {
            members: BTreeMap::new(),
            program: built.join("etcd"),
            directory: tempfile::Builder::new().prefix("k0smotron-etcd-").tempdir()?,
        })
    }

    /// A new cluster of these hosts, all voters.
    pub async fn found(&mut self, hosts: &[u8]) -> Result<()> {
        ensure!(self.members.is_empty(), "there is a cluster");
        let mut places = Vec::new();
        for host in hosts {
            places.push((*host, peer_url(free_port()?)));
        }
        let initial: Vec<_> = places
            .iter()
            .map(|(host, url)| format!("m{host}={url}"))
            .collect();
        for (host, url) in &places {
            self.add(*host, url, &initial.join(","), "new")?;
        }
        for host in hosts {
            self.until_serving(*host).await?;
        }
        Ok(())
    }

    /// Adds a host as a learner, through that member, and starts it.
    pub async fn join(&mut self, host: u8, through: u8) -> Result<()> {
        let url = peer_url(free_port()?);
        let added = self
            .until_done("add a learner", through, "member/add", &learner(&url))
            .await?;
        let id = text(&added, "/member/ID")?;
        let members = added.get("members").and_then(Value::as_array);
        let initial = members.context("no members")?.iter().map(|member| {
            let name = match text(member, "/ID")? == id {
                true => format!("m{host}"),
                false => text(member, "/name")?,
            };
            anyhow::Ok(format!("{name}={}", text(member, "/peerURLs/0")?))
        });
        let initial = initial.collect::<Result<Vec<_>>>()?;
        self.add(host, &url, &initial.join(","), "existing")?;
        self.member_mut(host)?.id = id;
        Ok(())
    }

    /// Asks for a learner, and takes no yes for an answer.
    pub async fn refuses_learner(&self, through: u8) -> Result<()> {
        let asked = self
            .change(through, "member/add", &learner(&peer_url(free_port()?)))
            .await;
        self.is_refused("another learner", asked)
    }

    /// Asks for the end of a member, and takes no yes for an answer.
    pub async fn refuses_removal(&self, host: u8, through: u8) -> Result<()> {
        let id = self.id(host, through).await?;
        let asked = self.change(through, "member/remove", &json!({ "ID": id })).await;
        self.is_refused("the removal of a voter", asked)
    }

    fn is_refused(&self, what: &str, asked: Result<Value, Refusal>) -> Result<()> {
        match asked {
            Err(Refusal::Refused(_)) => Ok(()),
            Err(other) => bail!("{what}: {other}"),
            Ok(answer) => bail!("{what} was not refused: {answer}"),
        }
    }

    /// Makes a learner a voter.
    pub async fn promote(&mut self, host: u8, through: u8) -> Result<()> {
        let id = self.id(host, through).await?;
        self.until_done("promote", through, "member/promote", &json!({ "ID": id }))
            .await?;
        self.until_serving(host).await
    }

    /// Takes a member out, and ends it if it still runs.
    pub async fn remove(&mut self, host: u8, through: u8) -> Result<()> {
        let id = self.id(host, through).await?;
        self.until_done("remove", through, "member/remove", &json!({ "ID": id }))
            .await?;
        self.members.remove(&host);
        Ok(())
    }

    /// Ends everything, and with it the cluster.
    pub fn wipe(&mut self) {
        self.members.clear();
    }

    /// `kill -9`, for good: its data is lost too.
    pub fn kill(&mut self, host: u8) -> Result<()> {
        self.member_mut(host)?.process = None;
        Ok(())
    }

    /// It neither answers nor goes away.
    pub fn freeze(&mut self, host: u8) -> Result<()> {
        self.process(host)?.freeze()
    }

    pub async fn thaw(&mut self, host: u8) -> Result<()> {
        self.process(host)?.thaw()
    }

    /// Ends it as k0s does.
    pub fn stop(&mut self, host: u8) -> Result<()> {
        let process = self.member_mut(host)?.process.take();
        process.context("it does not run")?.end()
    }

    /// Starts it again, with the data that it had.
    pub fn start(&mut self, host: u8) -> Result<()> {
        let (program, log) = (self.program.clone(), self.log(host));
        let member = self.member_mut(host)?;
        member.process = Some(Tethered::start("etcd", &program, &member.arguments, log)?);
        Ok(())
    }

    /// Whether a write is acknowledged.
    pub async fn put(&self, through: u8, key: &str) -> bool {
        let pair = json!({ "key": BASE64.encode(key), "value": BASE64.encode(key) });
        self.ask(through, "kv/put", &pair).await.is_ok()
    }

    /// All keys with this prefix, as a quorum knows them.
    pub async fn keys(&self, through: u8, prefix: &str) -> Result<BTreeSet<String>, Refusal> {
        let mut end = prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let range = json!({ "key": BASE64.encode(prefix), "range_end": BASE64.encode(end) });
        let found = self.ask(through, "kv/range", &range).await?;
        let pairs = found
            .get("kvs")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let key = |pair: &Value| {
            let key = BASE64.decode(pair.get("key")?.as_str()?).ok()?;
            String::from_utf8(key).ok()
        };
        Ok(pairs.iter().filter_map(key).collect())
    }

    /// The members, as a quorum knows them. One that has not started yet has no name and is left out.
    pub async fn list(&self, through: u8) -> Result<Vec<Listed>, Refusal> {
        let list = self.members(through).await?;
        let listed = |member: &Value| {
            let name = member.get("name")?.as_str()?.strip_prefix('m')?;
            Some((name.parse().ok()?, member.get("isLearner").is_some()))
        };
        let mut members: Vec<Listed> = list.iter().filter_map(listed).collect();
        members.sort_unstable();
        Ok(members)
    }

    /// The last words of all processes.
    pub fn logs(&self) -> String {
        let logs = self.members.keys().map(|host| {
            let text = std::fs::read_to_string(self.log(*host)).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(3).collect();
            format!("m{host}: {}", lines.join("\n    "))
        });
        logs.collect::<Vec<_>>().join("\n")
    }

    fn add(&mut self, host: u8, peer: &str, initial: &str, state: &str) -> Result<()> {
        let port = free_port()?;
        let data = self.directory.path().join(format!("m{host}"));
        let url = format!("http://127.0.0.1:{port}");
        let arguments = [
            format!("--name=m{host}"),
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={initial}"),
            format!("--initial-cluster-state={state}"),
            // What is killed here is a process, not a machine.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        let mut config = Config::new(url.parse()?);
        config.default_retry = false;
        self.members.insert(
            host,
            Member {
                id: String::new(),
                arguments: arguments.to_vec(),
                process: None,
                client: Client::try_from(config)?,
            },
        );
        self.start(host)
    }

    /// Until a member answers what only a voter of a quorum can.
    async fn until_serving(&mut self, host: u8) -> Result<()> {
        let begun = Instant::now();
        while let Err(refusal) = self.members(host).await {
            self.process(host)?.check()?;
            ensure!(begun.elapsed() < LIMIT, "m{host} does not serve: {refusal}");
            sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn until_done(&mut self, what: &str, through: u8, call: &str, body: &Value) -> Result<Value> {
        let begun = Instant::now();
        loop {
            match self.change(through, call, body).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) if begun.elapsed() > LIMIT => {
                    bail!(
                        "etcd does not {what} through m{through}: {refusal}\n{}",
                        self.logs()
                    )
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn change(&self, through: u8, call: &str, body: &Value) -> Result<Value, Refusal> {
        self.ask(through, &format!("cluster/{call}"), body).await
    }

    async fn members(&self, through: u8) -> Result<Vec<Value>, Refusal> {
        let list = self
            .ask(through, "cluster/member/list", &json!({ "linearizable": true }))
            .await?;
        Ok(list
            .get("members")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default())
    }

    /// etcd's name for a host's member, found out once.
    async fn id(&self, host: u8, through: u8) -> Result<String> {
        let known = &self.member(host)?.id;
        if !known.is_empty() {
            return Ok(known.clone());
        }
        let members = self
            .members(through)
            .await
            .map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
        let name = format!("m{host}");
        let mut named = members
            .iter()
            .filter(|member| member.get("name") == Some(&json!(name)));
        text(named.next().context("it is no member")?, "/ID")
    }

    async fn ask(&self, through: u8, call: &str, body: &Value) -> Result<Value, Refusal> {
        let no_answer = |error: String| Refusal::NoAnswer(error);
        let client = self
            .member(through)
            .map_err(|error| no_answer(error.to_string()))?
            .client
            .clone();
        let request = http::Request::post(format!("/v3/{call}"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes())
            .map_err(|error| no_answer(error.to_string()))?;
        match timeout(ANSWER, client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) => Err(Refusal::Refused(status.message.clone())),
            Ok(Err(error)) => Err(no_answer(error.to_string())),
            Err(_) => Err(no_answer("none in time".to_owned())),
        }
    }

    fn member(&self, host: u8) -> Result<&Member> {
        self.members
            .get(&host)
            .with_context(|| format!("m{host} is no member"))
    }

    fn member_mut(&mut self, host: u8) -> Result<&mut Member> {
        self.members
            .get_mut(&host)
            .with_context(|| format!("m{host} is no member"))
    }

    fn process(&mut self, host: u8) -> Result<&mut Tethered> {
        let process = self.member_mut(host)?.process.as_mut();
        process.with_context(|| format!("m{host} does not run"))
    }

    fn log(&self, host: u8) -> PathBuf {
        self.directory.path().join(format!("m{host}.log"))
    }
}

fn peer_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn learner(url: &str) -> Value {
    json!({ "peerURLs": [url], "isLearner": true })
}

fn text(value: &Value, path: &str) -> Result<String> {
    let found = value.pointer(path).and_then(Value::as_str);
    Ok(found.with_context(|| format!("no {path} in {value}"))?.to_owned())
}
