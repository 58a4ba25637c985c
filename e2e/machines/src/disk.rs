//! The disk of a machine: an overlay over the image, the files that give it its identity, and a real directory at
//! `/var/lib/k0s`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::command::run;
use crate::machine::MachineSpec;
use crate::network::pod_subnet;
use crate::state::{Place, Record, address};

/// Root, an administrator with sudo, a user without: home directory and numeric id, as made in the golden root.
const LOGINS: [(&str, u32); 3] = [("root", 0), ("home/admin", 1000), ("home/guest", 1001)];

/// Mounts that the kernel still holds for exiting processes go within a moment.
const UNMOUNT_DEADLINE: Duration = Duration::from_secs(10);

/// Mounts the disk, which keeps its content if it was there before.
pub(crate) async fn mount(place: &Place, record: &Record) -> Result<()> {
    let directory = place.directory();
    let (upper, work, root, data) = (
        directory.join("upper"),
        directory.join("work"),
        place.root(),
        place.data(),
    );
    for path in [&upper, &work, &root, &data] {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    // What overlayfs shows as the mode of `/`.
    fs::set_permissions(&upper, fs::Permissions::from_mode(0o755))?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        record.image.lowerdir(),
        upper.display(),
        work.display()
    );
    let (root, data) = (root.to_string_lossy(), data.to_string_lossy());
    run("mount", &["-t", "overlay", "overlay", "-o", &options, &root])
        .await
        .context("is the state directory itself on an overlay file system?")?;
    // Private, or on a host with shared mounts everything mounted inside the machine would appear on the host, and
    // stay there when the machine is gone.
    run("mount", &["--make-private", &root]).await?;
    let target = format!("{root}/var/lib/k0s");
    run("mount", &["--bind", &data, &target]).await?;
    run("mount", &["--make-private", &target]).await?;
    Ok(())
}

/// Unmounts everything at or below the machine's directory.
pub(crate) async fn unmount(place: &Place) -> Result<()> {
    let directory = place.directory();
    let begin = Instant::now();
    loop {
        let mounts = mounts_below(&directory)?;
        // The last one mounted lies on top.
        let Some(last) = mounts.last() else { return Ok(()) };
        if let Err(error) = run("umount", &[&last.to_string_lossy()]).await {
            if begin.elapsed() > UNMOUNT_DEADLINE {
                bail!(error.context(format!("{} stays mounted", last.display())));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Writes what makes this machine differ from any other one; once, at its first start.
pub(crate) async fn write_identity(place: &Place, spec: &MachineSpec) -> Result<()> {
    let root = place.root();
    let hostname = &spec.hostname;
    let own = address(place.instance, spec.index);
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    let write = |path: &str, content: &str| {
        let path = root.join(path);
        let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
        parent
            .and_then(|()| fs::write(&path, content))
            .with_context(|| format!("cannot write {}", path.display()))
    };
    write("etc/hostname", &format!("{hostname}\n"))?;
    write("etc/machine-id", &uuid.replace('-', ""))?;
    write(
        "etc/hosts",
        &format!("127.0.0.1 localhost\n{own} {hostname}\n::1 localhost ip6-localhost ip6-loopback\n"),
    )?;
    // Nothing listens there, so look-ups fail at once; a server that is only unreachable makes each hang for 40 s.
    write("etc/resolv.conf", "nameserver 127.0.0.1\n")?;
    write("etc/cni/net.d/10-bridge.conflist", &conflist(spec.index))?;
    if let Some(user_data) = &spec.user_data {
        // The data source NoCloud looks there, before disks and networks.
        write("var/lib/cloud/seed/nocloud/user-data", user_data)?;
        write(
            "var/lib/cloud/seed/nocloud/meta-data",
            &format!("instance-id: {uuid}local-hostname: {hostname}\n"),
        )?;
    }
    run("ssh-keygen", &["-q", "-A", "-f", &root.to_string_lossy()]).await?;
    authorize(place, &spec.authorized_keys)
}

/// Lets the owners of `keys`, and only them, log in as any of the users.
pub(crate) fn authorize(place: &Place, keys: &[String]) -> Result<()> {
    let mut content = keys.join("\n");
    content.push('\n');
    for (home, id) in LOGINS {
        let directory = place.root().join(home).join(".ssh");
        let file = directory.join("authorized_keys");
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&file, &content))
            .with_context(|| format!("cannot write {}", file.display()))?;
        for (path, mode) in [(&directory, 0o700), (&file, 0o600)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
            chown(path, Some(id), Some(id))?;
        }
    }
    Ok(())
}

/// In place before containerd starts: one that starts without a network configuration has to be started again.
fn conflist(index: u8) -> String {
    let conflist = json!({
        "cniVersion": "1.0.0",
        "name": "bridge",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipMasq": true,
                // A pod that reaches itself through its own Service.
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": pod_subnet(index)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    format!("{conflist:#}\n")
}

fn mounts_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mount table")?;
    Ok(table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|path| path.starts_with(directory))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::conflist;

    #[test]
    fn the_conflist_gives_each_machine_its_own_pod_range() {
        let first: serde_json::Value = serde_json::from_str(&conflist(0)).unwrap();
        assert_eq!(
            first["plugins"][0]["ipam"]["ranges"][0][0]["subnet"],
            "10.244.10.0/24"
        );
        assert_ne!(conflist(0), conflist(1));
    }
}
