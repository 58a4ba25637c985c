//! Control planes in pods: Cluster, K0smotronControlPlane and its template, JoinTokenRequest.

mod access;
mod join_token_request;
mod legacy;
mod name;
mod patches;
mod storage;
mod volumes;

pub use join_token_request::{
    check as check_join_token_request, check_name as check_request_name, check_update as check_request_update,
};
pub use legacy::check as check_legacy_annotations;
pub use name::check as check_name;

use super::{Field, Report, k0s_config, upgrade, values};

/// Rules about the spec, which the three kinds share.
pub fn check(spec: &Field<'_>, report: &mut Report) {
    let version = spec.get("version");
    let parsed = upgrade::check_version(&version, report);
    if let Some(parsed) = &parsed {
        upgrade::warn_of_suffix(&version, parsed, report);
    }
    check_image(&spec.get("image"), report);

    let replicas = spec.get("replicas");
    if replicas.integer().is_some_and(|count| count < 0) {
        report.error(&replicas, "is negative; use 1 or more");
    }
    values::reference(&spec.get("serviceAccount"), report);
    values::metadata(&spec.get("kubeconfigSecretMetadata"), report);
    let kubeconfig = spec.get("remoteHostCluster").get("kubeconfigRef");
    values::reference(&kubeconfig.get("name"), report);
    values::namespace(&kubeconfig.get("namespace"), report);
    values::data_key(&kubeconfig.get("key"), report);
    let scheduling = spec.get("scheduling");
    values::labels(&scheduling.get("nodeSelector"), report);
    values::reference(&scheduling.get("priorityClassName"), report);
    for secret in scheduling.get("imagePullSecrets").items() {
        values::reference(&secret.get("name"), report);
    }

    access::check(spec, parsed.as_ref(), report);
    k0s_config::check_cluster_config(&spec.get("k0sConfig"), report);
    patches::check(&spec.get("patches"), report);
    storage::check(spec, report);
    volumes::check(spec, report);
}

/// Rules about changes of the spec.
pub fn check_update(spec: &Field<'_>, old: &Field<'_>, report: &mut Report) {
    storage::check_update(spec, old, report);
    let (remote, before) = (
        spec.get("remoteHostCluster").get("kubeconfigRef"),
        old.get("remoteHostCluster").get("kubeconfigRef"),
    );
    if remote.is_set() != before.is_set() {
        report.error(
            &remote,
            "cannot be added or removed, because the pods and their data stay where they are; make a new cluster",
        );
    }
}

/// The image goes without tag: the version is the tag.
fn check_image(image: &Field<'_>, report: &mut Report) {
    let last = image.text().and_then(|text| text.rsplit('/').next());
    if last.is_some_and(|last| last.contains([':', '@'])) {
        report.error(
            image,
            "has a tag or digest, and spec.version becomes the tag; write the repository alone, such as quay.io/k0sproject/k0s",
        );
    }
}
