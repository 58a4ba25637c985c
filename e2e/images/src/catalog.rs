//! The images of the nodes that tests run pods on, under the names that k0s v1.36.3, Cluster API and operators of
//! k0s give them. What is in them is this host's: binaries of the component cache, and the k0s that is tested.

use std::path::Path;

use anyhow::Result;
use k0smotron_e2e_components::{Component, ensure};

use crate::image::Image;
use crate::layer::{Encoding, LayerBuilder};
use crate::{base, pause};

/// Of `spec.images` of k0s' configuration; the version of what is inside is the component's own.
const KUBE_PROXY: &str = "quay.io/k0sproject/kube-proxy:v1.36.3-1";
const CORE_DNS: &str = "quay.io/k0sproject/coredns:1.14.6-k0s.0";
const KONNECTIVITY_AGENT: &str = "quay.io/k0sproject/apiserver-network-proxy-agent:v0.36.0-k0s.0";
/// The default of hosted control planes.
const ETCD: &str = "quay.io/k0sproject/etcd:v3.7.1";
const K0S: &str = "quay.io/k0sproject/k0s";
/// As released; clusterctl is given manifests that say so.
const CLUSTER_API_CORE: &str = "registry.k8s.io/cluster-api/cluster-api-controller";
/// No release of anything: it is made here.
pub const OTHER_OPERATOR: &str = "k0smotron.io/other-operator:tested";

const NOBODY: &str = "65532:65532";
/// The published k0s image's has preparations for nested containers, which a control plane does not need.
const ENTRYPOINT: &str = "#!/bin/sh\nexec \"$@\"\n";

/// What k0s deploys into every cluster, and the pause image.
///
/// # Errors
/// A component or the Debian layer cannot be built.
pub fn node() -> Result<Vec<Image>> {
    let proxy = LayerBuilder::new()
        .file(
            "usr/local/bin/kube-proxy",
            0o755,
            &ensure(Component::Kubernetes)?.join("kube-proxy"),
        )
        .build(Encoding::Plain)?;
    Ok(vec![
        pause::image()?,
        Image {
            name: KUBE_PROXY.to_owned(),
            command: strings(&["kube-proxy"]),
            layers: vec![base::layer()?, proxy],
            ..Image::default()
        },
        single(CORE_DNS, Component::CoreDns, "coredns", "/coredns")?,
        single(
            KONNECTIVITY_AGENT,
            Component::Konnectivity,
            "proxy-agent",
            "/proxy-agent",
        )?,
    ])
}

/// What hosted control planes are made of: this k0s under its version's tag, and etcd.
///
/// # Errors
/// As [`node`]; also when the k0s binary cannot be read.
pub fn hosted(k0s: &Path, version: &str) -> Result<Vec<Image>> {
    let base = base::layer()?;
    let kubernetes = ensure(Component::Kubernetes)?;
    let (konnectivity, kine, etcd) = (
        ensure(Component::Konnectivity)?,
        ensure(Component::Kine)?,
        ensure(Component::Etcd)?,
    );
    let mut components = LayerBuilder::new();
    // A bare k0s takes its components from PATH.
    for (directory, name) in [
        (&kubernetes, "kube-apiserver"),
        (&kubernetes, "kube-controller-manager"),
        (&kubernetes, "kube-scheduler"),
        (&konnectivity, "konnectivity-server"),
        (&kine, "kine"),
    ] {
        components = components.file(&format!("usr/local/bin/{name}"), 0o755, &directory.join(name));
    }
    let own = LayerBuilder::new()
        .text("entrypoint.sh", 0o755, ENTRYPOINT)
        .file("usr/local/bin/k0s", 0o755, k0s)
        .build(Encoding::Plain)?;
    let stores = LayerBuilder::new()
        .file("usr/local/bin/etcd", 0o755, &etcd.join("etcd"))
        .file("usr/local/bin/etcdctl", 0o755, &etcd.join("etcdctl"))
        .build(Encoding::Plain)?;
    Ok(vec![
        Image {
            name: k0s_image(version),
            entrypoint: strings(&["/sbin/tini", "--", "/entrypoint.sh"]),
            command: strings(&["k0s", "controller", "--enable-worker"]),
            environment: strings(&["KUBECONFIG=/var/lib/k0s/pki/admin.conf"]),
            layers: vec![base.clone(), components.build(Encoding::Plain)?, own],
            ..Image::default()
        },
        Image {
            name: ETCD.to_owned(),
            entrypoint: strings(&["etcd"]),
            layers: vec![base, stores],
            ..Image::default()
        },
    ])
}

/// Cluster API's core manager.
///
/// # Errors
/// It cannot be built.
pub fn cluster_api_core() -> Result<Image> {
    let name = format!("{CLUSTER_API_CORE}:{}", Component::ClusterApi.version());
    single(&name, Component::ClusterApi, "cluster-api-core", "/manager")
}

/// `quay.io/k0sproject/k0s` with the tag of a version: `+` is no character of tags.
#[must_use]
pub fn k0s_image(version: &str) -> String {
    format!("{K0S}:{}", version.replace('+', "-"))
}

/// Another operator that serves the same API: a static program, at the path that our Deployments name.
///
/// # Errors
/// The binary cannot be read.
pub fn other_operator(binary: &Path) -> Result<Image> {
    of_program(OTHER_OPERATOR, binary, "/manager")
}

/// An image of one static program.
fn single(name: &str, component: Component, binary: &str, path: &str) -> Result<Image> {
    of_program(name, &ensure(component)?.join(binary), path)
}

fn of_program(name: &str, binary: &Path, path: &str) -> Result<Image> {
    let layer = LayerBuilder::new()
        .directory("tmp", 0o1777)
        .file(path, 0o755, binary)
        .build(Encoding::Plain)?;
    Ok(Image {
        name: name.to_owned(),
        entrypoint: strings(&[path]),
        user: NOBODY.to_owned(),
        layers: vec![layer],
        ..Image::default()
    })
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
