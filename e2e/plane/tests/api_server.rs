//! The light API server comes up, serves a CRD, issues tokens, and is gone afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail anywhere"
)]

use std::fs;

use k0smotron_e2e_plane::{ApiServer, Options, manifests};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind, ObjectMeta};

const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

#[tokio::test]
async fn serves_the_api_and_ends_when_dropped() {
    let crds = tempfile::tempdir().unwrap();
    fs::write(crds.path().join("widgets.yaml"), CRD).unwrap();
    let options = Options {
        crds: vec![crds.path().into()],
        ..Options::default()
    };
    let server = ApiServer::start(&options).await.unwrap();
    let client = server.client().unwrap();

    let namespaces: Api<Namespace> = Api::all(client.clone());
    let metadata = ObjectMeta {
        name: Some("team-a".into()),
        ..ObjectMeta::default()
    };
    namespaces
        .create(
            &PostParams::default(),
            &Namespace {
                metadata,
                ..Namespace::default()
            },
        )
        .await
        .unwrap();

    let widget = "{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}, spec: {size: 3}}";
    manifests::apply(&client, widget, "team-a").await.unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Widget"));
    let widgets: Api<DynamicObject> = Api::namespaced_with(client.clone(), "team-a", &resource);
    assert_eq!(widgets.get("w").await.unwrap().data["spec"]["size"], 3);

    assert_eq!(
        whoami_of_a_service_account(&server, &client).await,
        "system:serviceaccount:team-a:robot"
    );

    let directory = server.directory().to_path_buf();
    drop(server);
    assert!(!directory.exists());
    assert!(
        namespaces.get("team-a").await.is_err(),
        "the API server still answers"
    );
}

async fn whoami_of_a_service_account(server: &ApiServer, client: &Client) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "team-a");
    let metadata = ObjectMeta {
        name: Some("robot".into()),
        ..ObjectMeta::default()
    };
    let account = ServiceAccount {
        metadata,
        ..ServiceAccount::default()
    };
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(3600),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request("robot", &PostParams::default(), &request)
        .await
        .unwrap();
    let mut config = server.config();
    config.auth_info.client_certificate_data = None;
    config.auth_info.client_key_data = None;
    config.auth_info.token = Some(answer.status.unwrap().token.into());
    // Without any role, listing namespaces is refused: the message says whom the server takes us for.
    let robot = Client::try_from(config).unwrap();
    let refusal = Api::<Namespace>::all(robot)
        .get("default")
        .await
        .unwrap_err()
        .to_string();
    refusal
        .split('"')
        .find(|part| part.starts_with("system:"))
        .unwrap_or(&refusal)
        .to_owned()
}
