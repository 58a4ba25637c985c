//! Files against a real OpenSSH server: content, modes, and that nobody ever sees half of one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure ends the test"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use k0smotron_ssh::{Command, Error};
use support::{LONG, Sshd, output};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn content_and_mode_arrive_exactly() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect();
    for (name, permissions, content) in [
        ("empty", 0o644, &[][..]),
        ("key", 0o600, b"secret\n"),
        ("binary", 0o640, &every_byte),
        ("script", 0o755, b"#!/bin/sh\nexit 0\n"),
        ("read-only", 0o400, b"no newline at the end"),
        ("large", 0o644, &large),
    ] {
        let path = sshd.path("files").join(name);
        session
            .put(path.to_str().unwrap(), permissions, content, LONG)
            .await
            .unwrap();
        assert_eq!(mode(&path), permissions, "{name}");
        assert!(fs::read(&path).unwrap() == content, "{name}");
    }
    // Nothing is left beside them.
    assert_eq!(
        names(&sshd.path("files")),
        ["binary", "empty", "key", "large", "read-only", "script"]
    );
}

#[tokio::test]
async fn missing_directories_are_readable_even_for_a_secret_file() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    let path = sshd.path("etc/k0s/pki/ca.key");
    session
        .put(path.to_str().unwrap(), 0o600, b"key", LONG)
        .await
        .unwrap();
    for directory in ["etc", "etc/k0s", "etc/k0s/pki"] {
        assert_eq!(mode(&sshd.path(directory)), 0o755, "{directory}");
    }
    assert_eq!(mode(&path), 0o600);
    let user: u32 = output(std::process::Command::new("id").arg("-u"))
        .trim()
        .parse()
        .unwrap();
    assert_eq!(fs::metadata(&path).unwrap().uid(), user);
}

#[tokio::test]
async fn an_existing_directory_keeps_its_mode() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    let directory = sshd.path("private");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    session
        .put(directory.join("file").to_str().unwrap(), 0o644, b"", LONG)
        .await
        .unwrap();
    assert_eq!(mode(&directory), 0o700);
}

#[tokio::test]
async fn an_existing_file_is_replaced_with_its_mode() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    let (file, elsewhere, link) = (sshd.path("file"), sshd.path("elsewhere"), sshd.path("link"));
    fs::write(&file, "old content that is longer").unwrap();
    session
        .put(file.to_str().unwrap(), 0o600, b"new", LONG)
        .await
        .unwrap();
    assert_eq!(
        (fs::read(&file).unwrap().as_slice(), mode(&file)),
        (&b"new"[..], 0o600)
    );

    // A link is replaced, not followed.
    fs::write(&elsewhere, "untouched").unwrap();
    symlink(&elsewhere, &link).unwrap();
    session
        .put(link.to_str().unwrap(), 0o644, b"new", LONG)
        .await
        .unwrap();
    assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&elsewhere).unwrap(), b"untouched");
}

#[tokio::test]
async fn hostile_names_are_names() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    let hostile = [
        "-rf",
        "it's",
        "$(touch pwned)",
        "a\nb",
        "`id`",
        "*",
        "ä ö",
        "back\\slash",
        "--",
        "\"double\"",
    ];
    for name in hostile {
        let path = sshd.path("dir; with $odd 'name'").join(name);
        let path = path.to_str().unwrap();
        session.put(path, 0o644, name.as_bytes(), LONG).await.unwrap();
        assert_eq!(
            session.read_small(path, 100, LONG).await.unwrap().unwrap(),
            name.as_bytes(),
            "{name}"
        );
    }
    let mut expected: Vec<_> = hostile.map(str::to_owned).into();
    expected.sort();
    assert_eq!(names(&sshd.path("dir; with $odd 'name'")), expected);
}

#[tokio::test]
async fn a_reader_sees_the_old_content_or_the_new() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    let path = sshd.path("file");
    let contents = [vec![b'a'; 400_000], vec![b'b'; 300_000]];
    fs::write(&path, &contents[0]).unwrap();
    let reader = std::thread::spawn({
        let (path, contents, end) = (path.clone(), contents.clone(), sshd.path("end"));
        move || {
            let mut seen = [0_usize; 2];
            while !end.exists() {
                let content = fs::read(&path).unwrap();
                let which = contents
                    .iter()
                    .position(|c| *c == content)
                    .expect("neither the old content nor the new");
                seen[which] += 1;
            }
            seen
        }
    });
    for round in 1..=20 {
        session
            .put(path.to_str().unwrap(), 0o644, &contents[round % 2], LONG)
            .await
            .unwrap();
    }
    fs::write(sshd.path("end"), "").unwrap();
    let seen = reader.join().unwrap();
    assert!(seen[0] + seen[1] > 20, "{seen:?}");
}

#[tokio::test]
async fn what_cannot_be_a_file_is_refused() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    for path in ["", "relative", "/", "/tmp/", "/tmp/.", "/tmp/..", "/tmp/a\0b"] {
        let error = session.put(path, 0o644, b"", LONG).await.unwrap_err();
        assert!(matches!(error, Error::InvalidPath { .. }), "{path:?}: {error}");
        let error = session.read_small(path, 1, LONG).await.unwrap_err();
        assert!(matches!(error, Error::InvalidPath { .. }), "{path:?}: {error}");
    }
    let directory = sshd.path("directory");
    fs::create_dir(&directory).unwrap();
    let error = session
        .put(directory.to_str().unwrap(), 0o644, b"", LONG)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::File { verb: "write", cause, .. } if cause.contains("directory")),
        "{error}"
    );
    assert!(names(&directory).is_empty());
    let error = session
        .put("/proc/no/such/place", 0o644, b"", LONG)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "FileTransferFailed");
    assert!(error.to_string().contains("/proc/no/such/place"), "{error}");
}

#[tokio::test]
async fn small_files_are_read_whole_or_not_at_all() {
    let sshd = Sshd::start();
    let session = sshd.session().await;
    let read = async |name: &str, limit| {
        session
            .read_small(sshd.path(name).to_str().unwrap(), limit, LONG)
            .await
    };
    let content: Vec<u8> = (0..200_000).map(|i| (i % 251) as u8).collect();
    fs::write(sshd.path("file"), &content).unwrap();
    assert_eq!(read("file", content.len()).await.unwrap().unwrap(), content);
    assert!(read("file", 1_000_000).await.unwrap().unwrap() == content);
    let error = read("file", content.len() - 1).await.unwrap_err();
    assert!(
        matches!(&error, Error::File { verb: "read", cause, .. } if cause.contains("larger")),
        "{error}"
    );

    assert_eq!(read("missing", 10).await.unwrap(), None);
    assert_eq!(read("missing/too", 10).await.unwrap(), None);
    fs::write(sshd.path("empty"), "").unwrap();
    assert_eq!(read("empty", 0).await.unwrap().unwrap(), b"");
    fs::create_dir(sshd.path("directory")).unwrap();
    assert!(matches!(
        read("directory", 10).await.unwrap_err(),
        Error::File { .. }
    ));
    // The session does not mind.
    assert!(session.run(&Command::new("true"), LONG).await.unwrap().success());
}
