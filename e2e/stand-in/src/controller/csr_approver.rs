//! Approves the serving certificates of kubelets. Client certificates are approved by kube-controller-manager, by
//! the bindings in `objects`.
//!
//! k0s looks every ten seconds and approves one request at a time, and so does this: how long `kubectl logs` fails
//! on a new node depends on it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    certificates::v1::CertificateSigningRequest,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{sync::watch, time::sleep};
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    pem::parse_x509_pem,
    prelude::FromDer as _,
};

const SIGNER: &str = "kubernetes.io/kubelet-serving";

/// Approves for ever, while this controller leads.
pub async fn run(client: Client, leading: watch::Receiver<bool>) {
    loop {
        sleep(Duration::from_secs(10)).await;
        if !*leading.borrow() {
            continue;
        }
        if let Err(error) = approve_one(&client).await {
            tracing::warn!("CSR approval failed: {error:#}");
        }
    }
}

async fn approve_one(client: &Client) -> Result<()> {
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let requests = api
        .list(&ListParams::default().fields(&format!("spec.signerName={SIGNER}")))
        .await?;
    for request in requests {
        let decided = request
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref())
            .is_some_and(|all| {
                all.iter()
                    .any(|one| one.type_ == "Approved" || one.type_ == "Denied")
            });
        if decided {
            continue;
        }
        if let Err(reason) = check(&request) {
            tracing::info!(csr = request.name_any(), "not approved: {reason:#}");
            continue;
        }
        if !may_request(client, &request).await? {
            bail!(
                "{} may not make signing requests",
                request.spec.username.as_deref().unwrap_or_default()
            );
        }
        return approve(&api, &request).await;
    }
    Ok(())
}

async fn approve(api: &Api<CertificateSigningRequest>, request: &CertificateSigningRequest) -> Result<()> {
    let name = request.name_any();
    // An undecided request has no conditions that this could overwrite.
    let approved = json!({"status": {"conditions": [{
        "type": "Approved",
        "status": "True",
        "reason": "Autoapproved by K0s CSRApprover",
        "message": "Auto approving kubelet serving certificate after SubjectAccessReview.",
    }]}});
    api.patch_approval(&name, &PatchParams::default(), &Patch::Merge(&approved))
        .await?;
    tracing::info!(csr = name, "approved");
    Ok(())
}

async fn may_request(client: &Client, request: &CertificateSigningRequest) -> Result<bool> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: request.spec.username.clone(),
            uid: request.spec.uid.clone(),
            groups: request.spec.groups.clone(),
            extra: request.spec.extra.clone(),
            resource_attributes: Some(ResourceAttributes {
                group: Some("certificates.k8s.io".to_owned()),
                resource: Some("certificatesigningrequests".to_owned()),
                verb: Some("create".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// What Kubernetes asks of a request for a kubelet's serving certificate.
fn check(request: &CertificateSigningRequest) -> Result<()> {
    let allowed = ["digital signature", "key encipherment", "server auth"];
    let usages = request.spec.usages.as_deref().unwrap_or_default();
    if !usages.iter().all(|usage| allowed.contains(&usage.as_str())) {
        bail!("unexpected usages {usages:?}");
    }
    for required in ["digital signature", "server auth"] {
        if !usages.iter().any(|usage| usage == required) {
            bail!("usage {required} is missing");
        }
    }
    check_subject(&request.spec.request.0)
}

fn check_subject(pem: &[u8]) -> Result<()> {
    let (_, pem) = parse_x509_pem(pem).ok().context("no PEM")?;
    let (_, csr) = X509CertificationRequest::from_der(&pem.contents)
        .ok()
        .context("no signing request")?;
    let subject = &csr.certification_request_info.subject;
    let organizations: Vec<_> = subject
        .iter_organization()
        .filter_map(|name| name.as_str().ok())
        .collect();
    if organizations != ["system:nodes"] {
        bail!("unexpected organizations {organizations:?}");
    }
    let common_name = subject
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    if !common_name.is_some_and(|name| name.starts_with("system:node:")) {
        bail!("unexpected common name {common_name:?}");
    }
    let mut names = 0;
    for extension in csr.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(alternatives) = extension {
            for name in &alternatives.general_names {
                match name {
                    GeneralName::DNSName(_) | GeneralName::IPAddress(_) => names += 1,
                    other => bail!("unexpected alternative name {other}"),
                }
            }
        }
    }
    if names == 0 {
        bail!("no DNS name and no address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn csr(organization: &str, common_name: &str, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
        params.distinguished_name.push(DnType::CommonName, common_name);
        params
            .serialize_request(&KeyPair::generate().unwrap())
            .unwrap()
            .pem()
            .unwrap()
    }

    #[test]
    fn only_a_node_with_names_is_approved() {
        let check = |csr: String| check_subject(csr.as_bytes());
        check(csr("system:nodes", "system:node:m1", &["m1", "10.0.0.5"])).unwrap();
        assert!(check(csr("system:masters", "system:node:m1", &["m1"])).is_err());
        assert!(check(csr("system:nodes", "m1", &["m1"])).is_err());
        assert!(check(csr("system:nodes", "system:node:m1", &[])).is_err());
    }
}
