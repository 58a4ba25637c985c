//! Keeps the join token of a Machine good until the Machine has joined, and revokes it then.
//!
//! Bootstrap data that was handed to a cloud cannot change any more, so the very token that is in it gets a later end, or
//! is written again if it was deleted meanwhile, as Kubernetes does with expired ones. A host may boot hours later.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k0smotron_api::{
    bootstrap::v1beta2::BootstrapStatus,
    capi::{Cluster, Machine, condition_is_true},
    k0s_objects::ControlNode,
    names::conditions::types::JOIN_TOKEN_REVOKED,
};
use k0smotron_k0s::token::{self, BootstrapToken, SECRET_NAMESPACE, secret_name};
use k0smotron_runtime::{Context, absence, secrets, workload::ClusterKey};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, api::DeleteParams};

use crate::{
    join_token::{self, For, LIFETIME, Role},
    verdict::Verdict,
};

/// How soon to look again for a controller, whose joining is no event here, and for a cluster that does not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(20);

/// A token, and whom it is for.
pub struct Kept<'a> {
    pub config: For,
    pub role: Role,
    /// What is in the bootstrap Secret. Data that was made by an earlier release names none; its token expires.
    pub token: Option<&'a BootstrapToken>,
    pub status: Option<&'a BootstrapStatus>,
    pub cluster: Option<&'a Cluster>,
    pub machine: Option<&'a Machine>,
}

/// What the workload cluster has under the token's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Present {
    Nothing,
    Ours {
        expires: Option<Timestamp>,
    },
    /// Somebody else's, which is left alone.
    Others,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Write the token with a new end.
    Write,
    Revoke,
    /// It is good for this long still.
    Wait(SignedDuration),
    /// There is none, and nobody needs it.
    End,
}

fn decide(joined: bool, present: Present, now: Timestamp) -> Step {
    let half = LIFETIME / 2;
    match (joined, present) {
        (true, Present::Ours { .. }) => Step::Revoke,
        (true, Present::Nothing) | (_, Present::Others) => Step::End,
        (false, Present::Nothing) => Step::Write,
        (false, Present::Ours { expires }) => {
            let left = expires
                .map(|expires| expires.duration_since(now))
                .unwrap_or_default();
            if left > half {
                Step::Wait(left - half)
            } else {
                Step::Write
            }
        }
    }
}

/// What is to be said after a pass, and when to look again. Nothing is done unless there is bootstrap data.
pub async fn look_after(context: &Context, verdict: Verdict, kept: &Kept<'_>) -> (Verdict, Option<Duration>) {
    let Verdict::Available { secret, .. } = &verdict else {
        return (verdict, None);
    };
    let Some((token, cluster)) = kept.concerned() else {
        return (verdict, None);
    };
    match kept.pass(token, &cluster, context).await {
        Ok(None) => {
            let secret = secret.clone();
            let token_revoked = true;
            (
                Verdict::Available {
                    secret,
                    token_revoked,
                },
                None,
            )
        }
        Ok(Some(again)) => (verdict, Some(again)),
        // The machine that is to join needs the same cluster to answer.
        Err(error) => {
            tracing::debug!(config = kept.config.name, %error, "the join token is looked after later");
            (verdict, Some(LOOK_AGAIN))
        }
    }
}

impl Kept<'_> {
    /// The token that there is to look after, and where it is. Where the whole cluster goes it goes too.
    fn concerned(&self) -> Option<(&BootstrapToken, ClusterKey)> {
        let conditions = self.status.map(|status| status.conditions.as_slice());
        if condition_is_true(conditions.unwrap_or_default(), JOIN_TOKEN_REVOKED) {
            return None;
        }
        let cluster = self
            .cluster
            .filter(|cluster| cluster.metadata.deletion_timestamp.is_none())?;
        let key = ClusterKey {
            namespace: self.config.namespace.clone(),
            name: cluster.name_any(),
        };
        Some((self.token?, key))
    }

    /// When to look again; none when the token is gone and not needed any more.
    async fn pass(
        &self,
        token: &BootstrapToken,
        cluster: &ClusterKey,
        context: &Context,
    ) -> Result<Option<Duration>, String> {
        let client = context
            .workloads
            .client(cluster)
            .await
            .map_err(|error| error.to_string())?;
        self.keep(token, client).await.map_err(|error| {
            if matches!(&error, kube::Error::Api(status) if status.code == 401) {
                context.workloads.forget(cluster);
            }
            error.to_string()
        })
    }

    async fn keep(&self, token: &BootstrapToken, client: Client) -> Result<Option<Duration>, kube::Error> {
        let api: Api<Secret> = Api::namespaced(client.clone(), SECRET_NAMESPACE);
        let name = secret_name(token.id());
        let present = api.get_opt(&name).await?;
        let present = present.map_or(Present::Nothing, |secret| self.judge(&secret));
        let now = Timestamp::now();
        let joined = self.joined(&client).await?;
        let left = match decide(joined, present, now) {
            Step::End => return Ok(None),
            Step::Revoke => {
                api.delete(&name, &DeleteParams::default()).await?;
                return Ok(None);
            }
            Step::Write => {
                let secret = join_token::secret(token, &self.config, self.role, now);
                join_token::write(&client, &secret).await?;
                LIFETIME / 2
            }
            Step::Wait(left) => left,
        };
        let left = left.unsigned_abs();
        Ok(Some(match self.role {
            Role::Worker => left,
            Role::Controller => left.min(LOOK_AGAIN),
        }))
    }

    fn judge(&self, secret: &Secret) -> Present {
        if !join_token::is_for(secret, &self.config) {
            return Present::Others;
        }
        let expires = secrets::text(secret, token::EXPIRATION_KEY);
        Present::Ours {
            expires: expires.and_then(|text| text.parse().ok()),
        }
    }

    /// Whether nobody joins with the token any more: there is a node, or k0s runs as a controller.
    async fn joined(&self, client: &Client) -> Result<bool, kube::Error> {
        let Some(machine) = self.machine else {
            return Ok(false);
        };
        if machine.node_name().is_some() || self.role == Role::Worker {
            return Ok(machine.node_name().is_some());
        }
        let nodes: Api<ControlNode> = Api::all(client.clone());
        match nodes.get_metadata(&machine.name_any()).await {
            Ok(_) => Ok(true),
            Err(error) => absence::of::<ControlNode>(client, error).await.map(|_| false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Arc, Mutex},
    };

    use http::{Method, Request, Response};
    use kube::client::Body;
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_token_is_good_until_it_is_not_needed_and_no_longer() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let ours = |minutes| Present::Ours {
            expires: Some(now + SignedDuration::from_mins(minutes)),
        };
        let table = [
            (false, ours(30), Step::Wait(SignedDuration::from_mins(15))),
            (false, ours(15), Step::Write),
            (false, ours(-60), Step::Write),
            (false, Present::Ours { expires: None }, Step::Write),
            (false, Present::Nothing, Step::Write),
            (false, Present::Others, Step::End),
            (true, ours(30), Step::Revoke),
            (true, Present::Nothing, Step::End),
            (true, Present::Others, Step::End),
        ];
        for (joined, present, expected) in table {
            assert_eq!(decide(joined, present, now), expected, "{joined} {present:?}");
        }
    }

    type Writes = Arc<Mutex<Vec<(Method, Value)>>>;

    /// A workload cluster with these objects, and what is written to it.
    fn cluster(objects: Vec<(&'static str, Value)>) -> (Client, Writes) {
        let writes = Writes::default();
        let seen = writes.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (objects, seen) = (objects.clone(), seen.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let found = objects.iter().find(|(path, _)| head.uri.path().ends_with(path));
                let missing =
                    json!({"kind": "Status", "code": 404, "reason": "NotFound", "details": {"name": "x"}});
                let (code, answer) = match (&head.method, found) {
                    (&Method::GET, Some((_, object))) => (200, object.clone()),
                    (&Method::GET, None) => (404, missing),
                    (method, _) => {
                        let body = serde_json::from_slice(&body).unwrap_or_default();
                        seen.lock().unwrap().push((method.clone(), body));
                        (200, json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}}))
                    }
                };
                let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
                *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        (Client::new(service, "default"), writes)
    }

    fn kept<'a>(role: Role, token: &'a BootstrapToken, machine: &'a Machine) -> Kept<'a> {
        let mut config = Secret::default();
        config.metadata.namespace = Some("default".to_owned());
        config.metadata.name = Some("m1".to_owned());
        Kept {
            config: For::machine_of(&config),
            role,
            token: Some(token),
            status: None,
            cluster: None,
            machine: Some(machine),
        }
    }

    fn machine(status: Value) -> Machine {
        let machine = json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine",
            "metadata": {"name": "m1"}, "spec": {}, "status": status});
        serde_json::from_value(machine).unwrap()
    }

    #[tokio::test]
    async fn the_very_token_in_the_data_is_written_again_and_revoked_in_the_end() {
        let token = BootstrapToken::parse("abc123.0123456789abcdef").unwrap();
        let waiting = machine(json!({}));
        let (client, writes) = cluster(Vec::new());
        let kept_token = kept(Role::Worker, &token, &waiting);
        let again = kept_token.keep(&token, client).await.unwrap();
        assert_eq!(again, Some(Duration::from_secs(15 * 60)));
        let (method, written) = writes.lock().unwrap().pop().unwrap();
        assert_eq!(method, Method::PATCH);
        assert_eq!(written["metadata"]["name"], "bootstrap-token-abc123");
        let secret: Secret = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(
            secret.data.unwrap()["token-secret"].0,
            token.secret().expose_secret().as_bytes()
        );

        let stored = || vec![("/secrets/bootstrap-token-abc123", written.clone())];
        let (client, writes) = cluster(stored());
        let again = kept_token.keep(&token, client).await.unwrap().unwrap();
        assert!(again < Duration::from_secs(15 * 60) && writes.lock().unwrap().is_empty());

        let joined = machine(json!({"nodeRef": {"name": "m1"}}));
        let (client, writes) = cluster(stored());
        let over = kept(Role::Worker, &token, &joined)
            .keep(&token, client)
            .await
            .unwrap();
        assert_eq!(over, None);
        assert_eq!(writes.lock().unwrap()[0].0, Method::DELETE);
    }

    #[tokio::test]
    async fn a_controller_has_joined_when_k0s_says_so() {
        let token = BootstrapToken::parse("abc123.0123456789abcdef").unwrap();
        let machine = machine(json!({}));
        let kept_token = kept(Role::Controller, &token, &machine);
        let (client, writes) = cluster(Vec::new());
        assert_eq!(kept_token.keep(&token, client).await.unwrap(), Some(LOOK_AGAIN));
        let (_, written) = writes.lock().unwrap().pop().unwrap();
        let node = json!({"apiVersion": "autopilot.k0sproject.io/v1beta2", "kind": "ControlNode",
            "metadata": {"name": "m1"}});
        let objects = vec![
            ("/secrets/bootstrap-token-abc123", written),
            ("/controlnodes/m1", node),
        ];
        let (client, writes) = cluster(objects);
        assert_eq!(kept_token.keep(&token, client).await.unwrap(), None);
        assert_eq!(writes.lock().unwrap()[0].0, Method::DELETE);
    }
}
