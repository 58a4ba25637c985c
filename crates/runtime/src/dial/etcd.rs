//! A client of etcd: its members and its health, through the JSON gateway that etcd serves beside gRPC.
//!
//! The gateway is on unless `--enable-grpc-gateway=false` is given, and speaks protobuf's JSON: 64-bit numbers are
//! strings, fields with default values are left out
//! (<https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/>). Not for: keys and values.

use std::{fmt, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Request, StatusCode};
use kube::{Client, Config, client::Body, config::AuthInfo};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{ClientError, Dialer, Target};

/// Longest wait for an answer. Without a leader etcd itself gives up after seven seconds; until then a leader may be
/// elected, but who asks can ask again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How to speak TLS with a member. All in PEM.
#[derive(Clone)]
pub struct EtcdTls {
    /// CA of the members.
    pub ca: String,
    /// Client certificate, and what it was signed with if that is not the CA itself.
    pub certificate: String,
    pub key: SecretString,
    /// Name that the member's certificate must bear.
    pub server_name: String,
}

impl fmt::Debug for EtcdTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "EtcdTls({})", self.server_name)
    }
}

/// A member of etcd.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdMember {
    #[serde(rename = "ID", deserialize_with = "number")]
    pub id: u64,
    /// Empty until the member has started for the first time.
    #[serde(default)]
    pub name: String,
    #[serde(default, rename = "peerURLs")]
    pub peer_urls: Vec<String>,
    #[serde(default, rename = "clientURLs")]
    pub client_urls: Vec<String>,
    /// Whether it only follows, without a vote.
    #[serde(default)]
    pub is_learner: bool,
}

/// What one member says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdStatus {
    header: Header,
    /// Such as `3.6.14`.
    pub version: String,
    /// Size of the database file, in bytes.
    #[serde(default, deserialize_with = "number")]
    pub db_size: u64,
    /// Of which are in use, in bytes.
    #[serde(default, deserialize_with = "number")]
    pub db_size_in_use: u64,
    /// ID of the leader; 0 when there is none.
    #[serde(default, deserialize_with = "number")]
    pub leader: u64,
    #[serde(default, deserialize_with = "number")]
    pub raft_index: u64,
    #[serde(default, deserialize_with = "number")]
    pub raft_applied_index: u64,
    /// Alarms and the like, in words.
    #[serde(default)]
    pub errors: Vec<String>,
    #[serde(default)]
    pub is_learner: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Header {
    #[serde(deserialize_with = "number")]
    cluster_id: u64,
    #[serde(deserialize_with = "number")]
    member_id: u64,
}

impl EtcdStatus {
    /// ID of the member that answered.
    pub fn member_id(&self) -> u64 {
        self.header.member_id
    }

    /// ID of the cluster that it belongs to. One that was begun anew has another.
    pub fn cluster_id(&self) -> u64 {
        self.header.cluster_id
    }
}

/// Whose word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// That of a majority: what is so now. Fails without one.
    Quorum,
    /// That of the member which is asked: what it knew last. Learners never tell.
    Member,
}

/// Why etcd did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    #[error("etcd did not answer within {ANSWER_TIMEOUT:?}")]
    Timeout,
    #[error("failed to ask etcd")]
    Request(#[source] kube::Error),
    /// What etcd says, with its gRPC code.
    #[error("etcd refuses: {message}")]
    Refused { code: i64, message: String },
    #[error("etcd's answer cannot be read: {0}")]
    Answer(String),
}

impl EtcdError {
    /// In CamelCase, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "EtcdTimeout",
            Self::Request(_) => "EtcdUnreachable",
            Self::Refused { .. } => "EtcdRefused",
            Self::Answer(_) => "EtcdAnswerInvalid",
        }
    }

    /// A learner is not to vote yet: it has not caught up with the leader.
    pub fn is_learner_behind(&self) -> bool {
        self.says("can only promote a learner member which is in sync with leader")
    }

    /// Members have not been connected for five seconds, and until then there are to be no more of them.
    pub fn is_too_early(&self) -> bool {
        self.says("unhealthy cluster")
    }

    /// There is a member with this peer URL already.
    pub fn is_member_present(&self) -> bool {
        self.says("Peer URLs already exists") || self.says("member ID already exist")
    }

    /// There is no member with this ID (any more).
    pub fn is_member_absent(&self) -> bool {
        self.says("member not found")
    }

    fn says(&self, text: &str) -> bool {
        matches!(self, Self::Refused { message, .. } if message.contains(text))
    }
}

/// A client of one member, or of any behind a Service. Cheap to clone; keeps its connections.
#[derive(Clone)]
pub struct EtcdClient(Client);

impl EtcdClient {
    /// Does not connect: the first request does.
    ///
    /// # Errors
    /// Certificates or key cannot be used.
    pub fn new(dialer: &Dialer, target: &Target, tls: &EtcdTls) -> Result<Self, ClientError> {
        let invalid = |error: http::Error| ClientError::Client(kube::Error::HttpError(error));
        let url = format!("https://{}", tls.server_name);
        let mut config = Config::new(url.parse().map_err(|error| invalid(http::Error::from(error)))?);
        let roots: Vec<_> = CertificateDer::pem_slice_iter(tls.ca.as_bytes())
            .filter_map(Result::ok)
            .map(|certificate| certificate.to_vec())
            .collect();
        config.root_cert = Some(roots);
        // They are put together to one text, so each must end its last line.
        let encoded = |pem: &str| BASE64_STANDARD.encode(format!("{pem}\n"));
        config.auth_info = AuthInfo {
            client_certificate_data: Some(encoded(&tls.certificate)),
            client_key_data: Some(encoded(tls.key.expose_secret()).into()),
            ..AuthInfo::default()
        };
        dialer
            .client(&config, target)
            .map(Self)
            .map_err(ClientError::Client)
    }

    /// The members, learners included.
    ///
    /// # Errors
    /// Whatever etcd answers, or that it does not.
    pub async fn member_list(&self, consistency: Consistency) -> Result<Vec<EtcdMember>, EtcdError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            members: Vec<EtcdMember>,
        }
        let body = json!({ "linearizable": consistency == Consistency::Quorum });
        let answer: Answer = self.call("/v3/cluster/member/list", &body).await?;
        Ok(answer.members)
    }

    /// Adds a member without a vote, which is then to be started with `--initial-cluster-state=existing`.
    ///
    /// # Errors
    /// As [`EtcdClient::member_list`]; see [`EtcdError::is_member_present`].
    pub async fn member_add_as_learner(&self, peer_urls: &[String]) -> Result<EtcdMember, EtcdError> {
        #[derive(Deserialize)]
        struct Answer {
            member: EtcdMember,
        }
        let body = json!({ "peerURLs": peer_urls, "isLearner": true });
        let answer: Answer = self.call("/v3/cluster/member/add", &body).await?;
        Ok(answer.member)
    }

    /// Gives a learner its vote.
    ///
    /// # Errors
    /// As [`EtcdClient::member_list`]; see [`EtcdError::is_learner_behind`].
    pub async fn member_promote(&self, id: u64) -> Result<(), EtcdError> {
        self.change("/v3/cluster/member/promote", &json!({ "ID": id.to_string() }))
            .await
    }

    /// Removes a member, which ends itself when it hears of it.
    ///
    /// # Errors
    /// As [`EtcdClient::member_list`]; see [`EtcdError::is_member_absent`].
    pub async fn member_remove(&self, id: u64) -> Result<(), EtcdError> {
        self.change("/v3/cluster/member/remove", &json!({ "ID": id.to_string() }))
            .await
    }

    /// Makes another member the leader. To be asked of the leader.
    ///
    /// # Errors
    /// As [`EtcdClient::member_list`].
    pub async fn move_leader(&self, to: u64) -> Result<(), EtcdError> {
        let body = json!({ "targetID": to.to_string() });
        self.change("/v3/maintenance/transfer-leadership", &body).await
    }

    /// What the member that is asked says of itself, with or without a majority.
    ///
    /// # Errors
    /// As [`EtcdClient::member_list`].
    pub async fn status(&self) -> Result<EtcdStatus, EtcdError> {
        self.call("/v3/maintenance/status", &json!({})).await
    }

    /// Whether the member serves: it has a leader, no alarm, and a majority answers it. What it says if not is the
    /// error of the inner result.
    ///
    /// # Errors
    /// When it does not answer at all.
    pub async fn health(&self) -> Result<Result<(), String>, EtcdError> {
        #[derive(Deserialize)]
        struct Health {
            health: String,
            #[serde(default)]
            reason: String,
        }
        let request = Request::get("/health").body(Body::empty());
        let (_, bytes) = self.send(request).await?;
        // The status is 503 when it is not healthy; the body is the same.
        let health: Health = read(&bytes)?;
        Ok(match health.health == "true" {
            true => Ok(()),
            false => Err(health.reason),
        })
    }

    async fn change(&self, path: &str, body: &Value) -> Result<(), EtcdError> {
        self.call::<Value>(path, body).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, EtcdError> {
        #[derive(Deserialize)]
        struct Refusal {
            #[serde(default)]
            code: i64,
            message: String,
        }
        let request = Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string().into_bytes()));
        let (status, bytes) = self.send(request).await?;
        if status.is_success() {
            return read(&bytes);
        }
        let Refusal { code, message } = read(&bytes)?;
        Err(EtcdError::Refused { code, message })
    }

    async fn send(&self, request: http::Result<Request<Body>>) -> Result<(StatusCode, Vec<u8>), EtcdError> {
        let exchange = async {
            let request = request.map_err(kube::Error::HttpError)?;
            let answer = self.0.send(request).await?;
            let status = answer.status();
            let bytes = answer.into_body().collect_bytes().await?;
            Ok((status, bytes.to_vec()))
        };
        timeout(ANSWER_TIMEOUT, exchange)
            .await
            .map_err(|_elapsed| EtcdError::Timeout)?
            .map_err(EtcdError::Request)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EtcdError> {
    serde_json::from_slice(bytes).map_err(|error| EtcdError::Answer(error.to_string()))
}

/// A 64-bit number, which protobuf's JSON writes as a string.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Text(String),
        Plain(u64),
    }
    match Number::deserialize(deserializer)? {
        Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
        Number::Plain(number) => Ok(number),
    }
}
