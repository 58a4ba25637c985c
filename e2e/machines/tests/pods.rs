//! A machine is enough of a host for containerd and kubelet: a static pod runs in it, with an address of its own.

#[cfg(test)]
mod support;

use std::time::{Duration, Instant};

use k0smotron_e2e_machines::{Machine, MachineImage, MachineSpec};
use support::{scene, ssh, text};

/// The node as k0s would set it up, as far as a pod without an API server needs it.
const NODE: &str = r#"
set -e
mkdir -p /etc/node/pods /run/k0s
cat > /etc/node/containerd.toml <<END
version = 3
root = "/var/lib/k0s/containerd"
state = "/run/k0s/containerd"
imports = ["/etc/k0s/containerd.d/*.toml"]
[grpc]
address = "/run/k0s/containerd.sock"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "quay.io/k0sproject/pause:3.10.2-0"
END
cat > /etc/node/kubelet.yaml <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
staticPodPath: /etc/node/pods
containerRuntimeEndpoint: unix:///run/k0s/containerd.sock
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
END
cat > /etc/node/pods/pod.yaml <<END
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec:
  containers:
  - {name: main, image: "quay.io/k0sproject/pause:3.10.2-0", imagePullPolicy: Never}
END
systemd-run -p Delegate=yes containerd --config /etc/node/containerd.toml
systemd-run -p Delegate=yes kubelet --config /etc/node/kubelet.yaml --root-dir /var/lib/k0s/kubelet
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_in_a_machine() {
    scene(93, |network, key| async move {
        let image = tokio::task::spawn_blocking(MachineImage::with_components)
            .await
            .unwrap()
            .unwrap();
        let machine = Machine::start(&network, &image, &MachineSpec::new("node", 7, key.public()))
            .await
            .unwrap();
        text(&ssh(key.path(), "root@10.88.93.17", NODE));
        let begin = Instant::now();
        loop {
            let pods = machine
                .try_exec("curl -sk https://127.0.0.1:10250/pods")
                .await
                .unwrap()
                .stdout;
            if pods.contains(r#""podIP":"10.244.17."#) && pods.contains(r#""running":"#) {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "no pod runs: {pods}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
    .await;
}
