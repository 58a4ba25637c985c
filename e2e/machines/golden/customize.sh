#!/bin/sh
# Runs inside the new root (chroot), once. What differs per machine is written when a machine starts, not here.
set -eu

# Every machine makes its own at its first start: shared ones would hide a missing host-key check.
rm -f /etc/ssh/ssh_host_*
: > /etc/machine-id
# PAM complains about its absence at every login.
: > /etc/default/locale

# Three logins for three kinds of host: root, an administrator with sudo, and one without any right.
useradd --create-home --shell /bin/bash --password '*' admin
useradd --create-home --shell /bin/bash --password '*' guest
printf 'admin ALL=(ALL) NOPASSWD: ALL\n' > /etc/sudoers.d/admin
chmod 0440 /etc/sudoers.d/admin

# The place where kubelet and containerd look for CNI plugins.
mkdir -p /opt/cni
ln -s /usr/lib/cni /opt/cni/bin

# The overlay must not hold this directory (containerd cannot stack one overlay on another): a mount point only.
mkdir -p /var/lib/k0s

systemctl set-default multi-user.target
systemctl enable ssh.service shared-root.service pause-image.path

# - sysctl, modules-load, remount-fs: would act on the host's kernel, or fail for want of one of their own.
# - getty: there is no terminal.  - timers: there is no package mirror, and a benchmark must not meet them.
systemctl mask systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service \
    console-getty.service getty@.service getty.target \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \
    systemd-tmpfiles-clean.timer
