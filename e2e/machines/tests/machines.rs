//! Machines as their users see them: from the host, from each other, and after they are gone.

#[cfg(test)]
mod support;

use std::time::Duration;

use futures::future::try_join_all;
use k0smotron_e2e_machines::{Machine, MachineImage, MachineSpec, list, serve_file};
use support::{scene, shell, ssh, text, traces};
use tokio::net::TcpListener;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_from_start_to_stop() {
    scene(91, |network, key| async move {
        let image = MachineImage::with_binaries(&[]).unwrap();
        let specs = [
            MachineSpec::new("a", 0, key.public()),
            MachineSpec::new("b", 1, key.public()),
        ];
        let machines = try_join_all(specs.iter().map(|spec| Machine::start(&network, &image, spec)))
            .await
            .unwrap();
        let [a, b] = machines.as_slice() else {
            panic!("two machines")
        };
        assert_eq!(
            (a.address().to_string(), b.address().to_string()),
            ("10.88.91.10".into(), "10.88.91.11".into())
        );

        // Three logins with three sets of rights, and no other key opens the door.
        assert_eq!(
            text(&ssh(key.path(), "root@10.88.91.10", "id -un; hostname")),
            "root\na"
        );
        assert_eq!(
            text(&ssh(key.path(), "admin@10.88.91.10", "id -un; sudo -n id -un")),
            "admin\nroot"
        );
        assert!(ssh(key.path(), "guest@10.88.91.10", "true").status.success());
        assert!(
            !ssh(key.path(), "guest@10.88.91.10", "sudo -n true")
                .status
                .success()
        );
        let stranger = tempfile::tempdir().unwrap();
        let stranger = stranger.path().join("key");
        text(&shell(&format!(
            "ssh-keygen -q -t ed25519 -N '' -f {}",
            stranger.display()
        )));
        assert!(!ssh(&stranger, "root@10.88.91.10", "true").status.success());

        // Each has an identity of its own.
        for command in [
            "cat /etc/machine-id",
            "cat /etc/ssh/ssh_host_ed25519_key.pub",
            "cat /etc/cni/net.d/*",
        ] {
            assert_ne!(
                a.exec(command).await.unwrap(),
                b.exec(command).await.unwrap(),
                "{command}"
            );
        }
        assert_eq!(
            a.exec("systemctl is-system-running").await.unwrap().trim(),
            "running"
        );
        assert!(
            a.exec("findmnt -no PROPAGATION /")
                .await
                .unwrap()
                .contains("shared")
        );

        // Machines reach each other and the host; look-ups fail at once.
        let banner = a.exec("timeout 2 head -c 4 < /dev/tcp/10.88.91.11/22").await;
        assert!(banner.is_err(), "sh has no /dev/tcp");
        let banner = a
            .exec("bash -c 'head -c 4 < /dev/tcp/10.88.91.11/22'")
            .await
            .unwrap();
        assert_eq!(banner, "SSH-");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "k0s binary").unwrap();
        let listener = TcpListener::bind((network.host(), 8080)).await.unwrap();
        let server = tokio::spawn({
            let path = file.path().to_owned();
            async move { serve_file(listener, "/k0s", &path).await.map(drop) }
        });
        assert_eq!(
            b.exec("curl -fsS http://10.88.91.1:8080/k0s").await.unwrap(),
            "k0s binary"
        );
        assert!(b.exec("curl -fsS http://10.88.91.1:8080/other").await.is_err());
        server.abort();
        let lookup = timeout(Duration::from_secs(3), a.try_exec("getent ahosts quay.io")).await;
        assert!(!lookup.expect("fails fast").unwrap().success());

        // A second start adopts what runs, also with another key.
        let before = a
            .exec("cat /proc/sys/kernel/random/boot_id; ps -o lstart= -p 1")
            .await
            .unwrap();
        let mut spec = specs[0].clone();
        spec.authorized_keys
            .push(text(&shell(&format!("cat {}.pub", stranger.display()))));
        let again = Machine::start(&network, &image, &spec).await.unwrap();
        assert_eq!(&again, a);
        assert_eq!(
            a.exec("cat /proc/sys/kernel/random/boot_id; ps -o lstart= -p 1")
                .await
                .unwrap(),
            before
        );
        assert!(ssh(&stranger, "admin@10.88.91.10", "true").status.success());

        // Neither another index for a running machine nor one index for two.
        spec.index = 5;
        let error = Machine::start(&network, &image, &spec).await.unwrap_err();
        assert!(format!("{error:#}").contains("runs with index 0"), "{error:#}");
        let error = Machine::start(&network, &image, &MachineSpec::new("c", 1, key.public()))
            .await
            .unwrap_err();
        assert!(
            format!("{error:#}").contains("machine b has index 1"),
            "{error:#}"
        );
        assert_eq!(list(91).unwrap(), machines);

        // A frozen machine keeps its connections waiting, and goes on where it was.
        b.freeze().await.unwrap();
        assert!(!ssh(key.path(), "root@10.88.91.11", "true").status.success());
        b.thaw().await.unwrap();
        text(&ssh(key.path(), "root@10.88.91.11", "true"));

        // Power off keeps the disk; a start from nothing does not.
        b.exec("echo kept > /etc/kept; echo kept > /var/lib/k0s/kept; sync")
            .await
            .unwrap();
        b.power_off().await.unwrap();
        assert!(!ssh(key.path(), "root@10.88.91.11", "true").status.success());
        b.power_on().await.unwrap();
        assert_eq!(
            b.exec("cat /etc/kept /var/lib/k0s/kept").await.unwrap(),
            "kept\nkept\n"
        );
        b.power_off().await.unwrap();
        let b = Machine::start(&network, &image, &specs[1]).await.unwrap();
        assert!(b.exec("ls /etc/kept /var/lib/k0s/kept").await.is_err());

        // One that is frozen is stopped as well, and the other one stays.
        b.freeze().await.unwrap();
        b.stop().await.unwrap();
        b.stop().await.unwrap();
        assert!(
            !traces(91)
                .iter()
                .any(|trace| trace.contains("k0sm-91-b") || trace.contains("k0sm91v1"))
        );
        assert!(ssh(key.path(), "root@10.88.91.10", "true").status.success());
    })
    .await;
}

/// Wherever a start is interrupted, the next one succeeds and a stop leaves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_start_is_no_obstacle() {
    scene(92, |network, key| async move {
        let image = MachineImage::with_binaries(&[]).unwrap();
        let spec = MachineSpec::new("m", 0, key.public());
        for milliseconds in [10, 30, 60, 100, 150, 220, 300, 400, 600] {
            let start = Machine::start(&network, &image, &spec);
            let _interrupted = timeout(Duration::from_millis(milliseconds), start).await;
        }
        let machine = Machine::start(&network, &image, &spec).await.unwrap();
        assert_eq!(text(&ssh(key.path(), "root@10.88.92.10", "hostname")), "m");
        // Even without its record, a machine is found and stopped.
        std::fs::remove_file("/var/lib/k0smotron-e2e/92/machines/m/machine.json").unwrap();
        assert_eq!(machine.name(), "m");
        assert_eq!(list(92).unwrap(), []);
    })
    .await;
}

/// Every fault does what it says, to that machine only, and can be taken back.
#[tokio::test(flavor = "multi_thread")]
async fn faults_hit_one_machine_and_end() {
    scene(94, |network, key| async move {
        let image = MachineImage::with_binaries(&[]).unwrap();
        let specs = ["a", "b"].map(|name| MachineSpec::new(name, u8::from(name == "b"), key.public()));
        let [a, b] = [
            Machine::start(&network, &image, &specs[0]).await.unwrap(),
            Machine::start(&network, &image, &specs[1]).await.unwrap(),
        ];
        let banner = |address: &str| format!("timeout 5 bash -c 'head -c 4 < /dev/tcp/{address}/22'");

        // A program by its name, and nothing else.
        for machine in [&a, &b] {
            machine
                .exec("nohup sleep 1000 >/dev/null 2>&1 & nohup tail -f /dev/null >/dev/null 2>&1 &")
                .await
                .unwrap();
        }
        assert_eq!(a.kill("sleep").await.unwrap(), 1);
        timeout(Duration::from_secs(5), async {
            while !a.processes("sleep").unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
        assert!(a.kill("sleep").await.is_err(), "none is left");
        assert_eq!(a.processes("tail").unwrap().len(), 1);
        assert_eq!(b.processes("sleep").unwrap().len(), 1);

        // Cut off, and back.
        a.cut().await.unwrap();
        assert!(!ssh(key.path(), "root@10.88.94.10", "true").status.success());
        assert!(b.exec(&banner("10.88.94.10")).await.is_err());
        assert!(ssh(key.path(), "root@10.88.94.11", "true").status.success());
        a.mend().await.unwrap();
        b.exec(&banner("10.88.94.10")).await.unwrap();

        // Slow, by the time that was asked for, for data of any size, and fast again.
        // The fastest of several: a busy host can make any of them slow, and none fast.
        let round_trip = async || {
            let mut fastest = Duration::MAX;
            for _ in 0..10 {
                let begin = std::time::Instant::now();
                tokio::net::TcpStream::connect("10.88.94.10:22").await.unwrap();
                fastest = fastest.min(begin.elapsed());
            }
            fastest
        };
        let delay = a.delay(Duration::from_millis(40)).await.unwrap();
        let slow = round_trip().await;
        assert!(slow.as_millis() >= 80, "{slow:?}");
        let copy =
            "head -c 300000 /dev/zero | ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
        let copied = shell(&format!(
            "{copy} -i {} root@10.88.94.10 wc -c",
            key.path().display()
        ));
        assert_eq!(text(&copied), "300000");
        assert!(b.exec(&banner("10.88.94.10")).await.is_ok());
        delay.remove().await.unwrap();
        let fast = round_trip().await;
        assert!(fast.as_millis() < 80, "{fast:?}");
        // Whoever forgets to take it back leaves nothing behind either.
        let _forgotten = a.delay(Duration::from_millis(40)).await.unwrap();
    })
    .await;
}
