//! kube-controller-manager and kube-scheduler, which follow the cluster-wide configuration: they are started again
//! when a change of it changes their arguments, and left alone otherwise.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::{
    config::Spec,
    paths::Paths,
    supervisor::{Program, Supervised},
};

/// The two components of one controller.
#[derive(Default)]
pub struct ClusterComponents {
    running: BTreeMap<&'static str, (Vec<String>, Supervised)>,
}

/// What the node, rather than the cluster, decides.
pub struct NodeSettings<'a> {
    pub paths: &'a Paths,
    /// The service network is the node's: it cannot change while the cluster lives.
    pub service_cidr: &'a str,
    /// `--kube-controller-manager-extra-args`.
    pub controller_manager_flags: Option<&'a str>,
    /// A controller that can have no peer needs no election.
    pub single: bool,
    pub without_controller_manager: bool,
    pub without_scheduler: bool,
}

impl ClusterComponents {
    /// Brings both to the given configuration.
    pub async fn reconcile(&mut self, settings: &NodeSettings<'_>, spec: &Spec) -> Result<()> {
        if !settings.without_controller_manager {
            let arguments = controller_manager_arguments(settings, spec);
            self.ensure(settings.paths, "kube-controller-manager", arguments)
                .await?;
        }
        if !settings.without_scheduler {
            self.ensure(
                settings.paths,
                "kube-scheduler",
                scheduler_arguments(settings, spec),
            )
            .await?;
        }
        Ok(())
    }

    /// Stops both at once.
    pub async fn stop(&mut self) {
        let running = std::mem::take(&mut self.running);
        futures::future::join_all(running.into_values().map(|(_, component)| component.stop())).await;
    }

    async fn ensure(&mut self, paths: &Paths, name: &'static str, arguments: Vec<String>) -> Result<()> {
        if let Some((current, component)) = self.running.remove(name) {
            if current == arguments {
                self.running.insert(name, (current, component));
                return Ok(());
            }
            tracing::info!(component = name, "its arguments have changed, starting it again");
            component.stop().await;
        }
        let program = Program::find(paths, name, arguments.clone())?;
        let component = Supervised::start(paths, program).await?;
        self.running.insert(name, (arguments, component));
        Ok(())
    }
}

fn controller_manager_arguments(settings: &NodeSettings<'_>, spec: &Spec) -> Vec<String> {
    let file = |name: &str| settings.paths.pki(name).display().to_string();
    let kubeconfig = file("ccm.conf");
    let mut flags = BTreeMap::from([
        ("allocate-node-cidrs".to_owned(), "true".to_owned()),
        ("authentication-kubeconfig".to_owned(), kubeconfig.clone()),
        ("authorization-kubeconfig".to_owned(), kubeconfig.clone()),
        ("bind-address".to_owned(), "127.0.0.1".to_owned()),
        ("client-ca-file".to_owned(), file("ca.crt")),
        ("cluster-cidr".to_owned(), spec.network.pod_cidr.clone()),
        ("cluster-name".to_owned(), "k0s".to_owned()),
        ("cluster-signing-cert-file".to_owned(), file("ca.crt")),
        ("cluster-signing-key-file".to_owned(), file("ca.key")),
        (
            "controllers".to_owned(),
            "*,bootstrapsigner,tokencleaner".to_owned(),
        ),
        ("kubeconfig".to_owned(), kubeconfig),
        ("leader-elect".to_owned(), (!settings.single).to_string()),
        ("node-cidr-mask-size".to_owned(), "24".to_owned()),
        ("profiling".to_owned(), "false".to_owned()),
        (
            "requestheader-client-ca-file".to_owned(),
            file("front-proxy-ca.crt"),
        ),
        ("root-ca-file".to_owned(), file("ca.crt")),
        ("service-account-private-key-file".to_owned(), file("sa.key")),
        (
            "service-cluster-ip-range".to_owned(),
            settings.service_cidr.to_owned(),
        ),
        ("terminated-pod-gc-threshold".to_owned(), "12500".to_owned()),
        ("use-service-account-credentials".to_owned(), "true".to_owned()),
        ("v".to_owned(), "1".to_owned()),
    ]);
    let given = crate::go::split_flags(settings.controller_manager_flags.unwrap_or_default());
    flags.extend(
        given
            .into_iter()
            .map(|(name, value)| (name.trim_start_matches('-').to_owned(), value)),
    );
    finish(
        flags,
        &spec.controller_manager,
        &spec.feature_gates_of("kube-controller-manager"),
    )
}

fn scheduler_arguments(settings: &NodeSettings<'_>, spec: &Spec) -> Vec<String> {
    let kubeconfig = settings.paths.pki("scheduler.conf").display().to_string();
    let flags = BTreeMap::from([
        ("authentication-kubeconfig".to_owned(), kubeconfig.clone()),
        ("authorization-kubeconfig".to_owned(), kubeconfig.clone()),
        ("bind-address".to_owned(), "127.0.0.1".to_owned()),
        ("kubeconfig".to_owned(), kubeconfig),
        ("leader-elect".to_owned(), (!settings.single).to_string()),
        ("profiling".to_owned(), "false".to_owned()),
        ("v".to_owned(), "1".to_owned()),
    ]);
    finish(flags, &spec.scheduler, &spec.feature_gates_of("kube-scheduler"))
}

fn finish(
    mut flags: BTreeMap<String, String>,
    component: &crate::config::Component,
    feature_gates: &str,
) -> Vec<String> {
    flags.extend(component.extra_args.clone());
    if !feature_gates.is_empty() {
        flags.insert("feature-gates".to_owned(), feature_gates.to_owned());
    }
    flags
        .into_iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .chain(component.raw_args.iter().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NodeConfig;

    #[test]
    fn extra_arguments_and_gates_reach_the_components() {
        let paths = Paths::new(None, None, None, None).unwrap();
        let settings = NodeSettings {
            paths: &paths,
            service_cidr: "10.96.0.0/12",
            controller_manager_flags: Some("--v=3 --concurrent-gc-syncs=2"),
            single: false,
            without_controller_manager: false,
            without_scheduler: false,
        };
        let node = NodeConfig::parse(
            "spec: {api: {address: 10.0.0.5}, controllerManager: {extraArgs: {v: '4'}}, \
             featureGates: [{name: A, enabled: true, components: [kube-scheduler]}]}",
        )
        .unwrap();
        let manager = controller_manager_arguments(&settings, &node.spec);
        assert!(
            manager.contains(&"--v=4".to_owned()),
            "the file wins over the flag"
        );
        assert!(manager.contains(&"--concurrent-gc-syncs=2".to_owned()));
        assert!(
            !manager
                .iter()
                .any(|argument| argument.starts_with("--feature-gates"))
        );
        assert!(scheduler_arguments(&settings, &node.spec).contains(&"--feature-gates=A=true".to_owned()));
    }
}
