//! `k0s reset`: pods stopped, the service removed, everything unmounted and deleted. Refuses while k0s runs.

use std::{collections::BTreeMap, fs, io, path::Path};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{cli::ResetArgs, config::NodeConfig, install, paths::Paths, runtime_config};

/// Files that network providers of k0s leave.
const CNI_FILES: [&str; 3] = [
    "/etc/cni/net.d/10-calico.conflist",
    "/etc/cni/net.d/calico-kubeconfig",
    "/etc/cni/net.d/10-kuberouter.conflist",
];

/// Runs every step, even after one has failed, and reports all failures together.
pub fn run(arguments: &ResetArgs) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("this command must be run as root");
    }
    if arguments.cri_socket.is_some() {
        bail!("--cri-socket is not supported by this stand-in for k0s");
    }
    let instance = &arguments.instance;
    let paths = Paths::new(
        instance.data_dir.as_deref(),
        arguments.kubelet_root_dir.as_deref(),
        arguments.config.as_deref(),
        instance.status_socket.as_deref(),
    )?;
    if runtime_config::is_running(&paths)? {
        bail!("another k0s process is still running, please stop k0s before reset");
    }
    NodeConfig::load(&paths)?;

    let mut failures = Vec::new();
    let mut step = |name: &str, result: Result<()>| {
        tracing::info!("* {name}");
        failures.extend(result.err().map(|error| format!("{name}: {error:#}")));
    };
    step("containers steps", stop_containers(&paths));
    step("uninstall service step", uninstall_service());
    step("remove directories step", remove_directories(&paths));
    step("CNI leftovers cleanup step", remove_cni_files());
    if !failures.is_empty() {
        bail!("errors occurred during clean-up: {}", failures.join("; "));
    }
    tracing::info!("k0s cleanup operations done.");
    Ok(())
}

/// Ends every shim of this instance's containerd together with the processes below it, and the components that a
/// crash left behind.
fn stop_containers(paths: &Paths) -> Result<()> {
    let processes = processes();
    let socket = paths.containerd_socket().display().to_string();
    let is_shim = |process: &Process| {
        process
            .command
            .first()
            .is_some_and(|name| name.contains("containerd-shim"))
            && process.command.contains(&socket)
    };
    let mut doomed: Vec<i32> = processes
        .iter()
        .filter(|(_, process)| is_shim(process))
        .map(|(pid, _)| *pid)
        .collect();
    for name in [
        "kubelet",
        "containerd",
        "kube-scheduler",
        "kube-controller-manager",
        "kube-apiserver",
        "etcd",
        "kine",
    ] {
        let file = paths.run_dir.join(format!("{name}.pid"));
        if let Some(pid) = fs::read_to_string(file)
            .ok()
            .and_then(|text| text.trim().parse().ok())
        {
            let is_it = |process: &Process| process.command.first().is_some_and(|path| path.ends_with(name));
            doomed.extend(processes.get(&pid).filter(|process| is_it(process)).map(|_| pid));
        }
    }
    let mut next = 0;
    while let Some(parent) = doomed.get(next).copied() {
        let children = processes
            .iter()
            .filter(|(pid, process)| process.parent == parent && !doomed.contains(pid));
        let children: Vec<i32> = children.map(|(pid, _)| *pid).collect();
        doomed.extend(children);
        next += 1;
    }
    for pid in &doomed {
        match kill(Pid::from_raw(*pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("process {pid} cannot be ended")),
        }
    }
    // Mounts of an ended process are free only after it is gone.
    for _ in 0..100 {
        if !doomed
            .iter()
            .any(|pid| Path::new(&format!("/proc/{pid}/exe")).exists())
        {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    unmount_matching(is_pod_network)
}

struct Process {
    parent: i32,
    command: Vec<String>,
}

fn processes() -> BTreeMap<i32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name in parentheses may hold anything; state and parent follow its end.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let command = command
                .split(|byte| *byte == 0)
                .map(|word| String::from_utf8_lossy(word).into_owned());
            Some((
                pid,
                Process {
                    parent,
                    command: command.collect(),
                },
            ))
        })
        .collect()
}

fn uninstall_service() -> Result<()> {
    for role in ["controller", "worker"] {
        if install::uninstall(role)? {
            tracing::info!("uninstalled k0s{role} service");
            return Ok(());
        }
    }
    Ok(())
}

fn remove_directories(paths: &Paths) -> Result<()> {
    let own = [&paths.kubelet_root_dir, &paths.data_dir, &paths.run_dir];
    // A data directory that is a mount point itself was not mounted by k0s, and stays mounted.
    unmount_matching(|mount| {
        own.iter()
            .any(|directory| mount.starts_with(directory) && mount != *directory)
    })?;
    for directory in own {
        remove_tree(directory).with_context(|| format!("{} cannot be deleted", directory.display()))?;
    }
    Ok(())
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // The content is gone; only the mount point is left.
        Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) && is_empty(directory) => Ok(()),
        result => result,
    }
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

fn unmount_matching(wanted: impl Fn(&Path) -> bool) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("the mounts cannot be read")?;
    let mounts: Vec<String> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .collect();
    for mount in mounts.iter().rev().map(Path::new).filter(|mount| wanted(mount)) {
        let unmounted = umount2(mount, MntFlags::empty()).or_else(|_| umount2(mount, MntFlags::MNT_DETACH));
        match unmounted {
            // Unmounted together with another one.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be unmounted", mount.display()));
            }
        }
        if is_pod_network(mount) {
            let _ = fs::remove_file(mount);
        }
    }
    Ok(())
}

/// Network namespaces that containerd's CNI made for pods.
fn is_pod_network(mount: &Path) -> bool {
    mount.to_string_lossy().contains("/run/netns/cni-")
}

/// Blanks, tabs, newlines and backslashes are octal in the mount table.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

fn remove_cni_files() -> Result<()> {
    for file in CNI_FILES {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{file} cannot be removed"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_namespaces_of_pods_are_unmounted() {
        assert!(is_pod_network(Path::new("/run/netns/cni-1cc79b70-f150")));
        assert!(is_pod_network(Path::new("/var/run/netns/cni-1cc79b70-f150")));
        assert!(!is_pod_network(Path::new("/run/netns/tenant")));
    }

    #[test]
    fn this_process_is_among_the_processes() {
        let own = i32::try_from(std::process::id()).unwrap();
        let parent = nix::unistd::getppid().as_raw();
        assert_eq!(processes()[&own].parent, parent);
    }

    #[test]
    fn mount_points_are_unescaped() {
        assert_eq!(unescape("/a\\040b"), "/a b");
    }
}
