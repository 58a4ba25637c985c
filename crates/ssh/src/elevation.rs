//! How a command becomes root: the command lines for the login shell, what is fed to them, and what to do about a
//! refusal. Pure; [`Session`](crate::Session) runs them.
//!
//! No terminal is ever asked for: output stays as it was printed, and input may be anything.

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::quote::join;

/// How a command becomes root on the host.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Elevation {
    /// Commands run as the user who logged in.
    #[default]
    None,
    /// `sudo`. Without a password it never asks for one; a host that wants one is then refused with
    /// [`Error::ElevationRefused`](crate::Error::ElevationRefused). The password is one line; it reaches sudo on its
    /// standard input and is in no command line. A host that does not ask for it is fine as well.
    Sudo(Option<SecretString>),
    /// `doas`, without a password: it reads one from a terminal only.
    Doas,
}

/// Where programs are looked for beside the `PATH` of the user, or of sudo's `secure_path`: both may lack `sbin`, or be
/// next to empty. `/bin/sh` is on every host.
const SEARCH: &str =
    r#"PATH="${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"; export PATH"#;

/// Ends what sudo may read of the input: whether it asks for the password is known only when it does or does not. What
/// it left is skipped up to here; `read` of a shell takes no byte too many from a pipe.
const INPUT: &str = "k0smotron-input";

impl Elevation {
    /// The program's name, for messages; `None` if there is none in between.
    pub(crate) fn program(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Sudo(_) => Some("sudo"),
            Self::Doas => Some("doas"),
        }
    }

    /// The line that makes the login shell execute a program with these words.
    pub(crate) fn line(&self, words: &[&str]) -> String {
        let skip = format!("while IFS= read -r line && [ \"$line\" != {INPUT} ]; do :; done; ");
        let (become_root, skip) = match self {
            Self::None => ("", ""),
            Self::Sudo(None) => ("sudo -n -- ", ""),
            // No prompt, and the same answer each time: what was entered minutes ago does not count.
            Self::Sudo(Some(_)) => ("sudo -k -S -p '' -- ", skip.as_str()),
            Self::Doas => ("doas -n ", ""),
        };
        let program = shell(&format!("{skip}exec \"$@\""));
        let words = program.iter().map(String::as_str).chain(words.iter().copied());
        // `exec`: one process less, and a signal that ends the command is seen as such.
        if become_root.is_empty() {
            return format!("exec {}", join(words));
        }
        let outer = shell(&format!("exec {become_root}\"$@\""));
        format!("exec {}", join(outer.iter().map(String::as_str).chain(words)))
    }

    /// What has to be on the standard input of [`line`](Self::line) for the program to find `stdin` on its own.
    pub(crate) fn input(&self, stdin: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut input = self.password_line();
        if !input.is_empty() {
            input.extend_from_slice(INPUT.as_bytes());
            input.push(b'\n');
        }
        input.extend_from_slice(stdin);
        input
    }

    /// The input of a program that reads nothing. Ends behind the password: sudo must not take what follows for a second
    /// attempt, which hosts count before they lock an account.
    pub(crate) fn password_line(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Sudo(Some(password)) => {
                Zeroizing::new(format!("{}\n", password.expose_secret()).into_bytes())
            }
            Self::None | Self::Sudo(None) | Self::Doas => Zeroizing::default(),
        }
    }

    /// What somebody has to do so that `user`, who was refused with these words, becomes root.
    pub(crate) fn remedy(&self, user: &str, said: &str) -> String {
        match self {
            Self::None => "log in as root".to_owned(),
            Self::Sudo(_) if said.contains("tty") => {
                format!(
                    "put the line `Defaults:{user} !requiretty` into a file under /etc/sudoers.d on the host"
                )
            }
            Self::Sudo(None) => format!(
                "install sudo if it is missing and put the line `{user} ALL=(ALL) NOPASSWD: ALL` into a file under \
                 /etc/sudoers.d on the host, give the user's password, or log in as root"
            ),
            Self::Sudo(Some(_)) => format!(
                "check the password, and that sudo is installed and the line `{user} ALL=(ALL) ALL` is in a file under \
                 /etc/sudoers.d on the host"
            ),
            Self::Doas => format!(
                "install doas if it is missing and put the line `permit nopass {user}` into /etc/doas.conf on the host, \
                 or log in as root"
            ),
        }
    }
}

/// A shell that finds programs, and does `what` with the words that follow.
fn shell(what: &str) -> [String; 4] {
    ["/bin/sh", "-c", &format!("{SEARCH}; {what}"), "sh"].map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    use super::*;

    fn sudo(password: &str) -> Elevation {
        Elevation::Sudo(Some(password.into()))
    }

    /// What a program prints that gets `stdin` through a sudo and a doas which stand in for the real ones. The first takes
    /// the password if `asks`.
    fn through(elevation: &Elevation, asks: bool, stdin: &[u8]) -> String {
        let bin = tempfile::tempdir().unwrap();
        let read = if asks {
            "IFS= read -r given; [ \"$given\" = 'pass word' ] || exit 9\n"
        } else {
            ""
        };
        for (name, read) in [("sudo", read), ("doas", "")] {
            let path = bin.path().join(name);
            let text = format!(
                "#!/bin/sh\n{read}while :; do case $1 in -p) shift 2 ;; -*) shift ;; *) break ;; esac; done\necho {name}\n\
                 PATH=/nowhere; exec \"$@\"\n"
            );
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut child = Command::new("/bin/sh")
            .args([
                "-c",
                &elevation.line(&["sh", "-c", "cat; echo \"it's $1\"", "sh", "a  b"]),
            ])
            .env("PATH", bin.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(&elevation.input(stdin))
            .unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    #[test]
    fn the_program_gets_its_words_and_its_input_whatever_is_in_between() {
        let stdin = b"first\nk0smotron-input\n\\second";
        let expected = "first\nk0smotron-input\n\\secondit's a  b\n";
        assert_eq!(through(&Elevation::None, false, stdin), expected);
        assert_eq!(
            through(&Elevation::Sudo(None), false, stdin),
            format!("sudo\n{expected}")
        );
        assert_eq!(
            through(&Elevation::Doas, false, stdin),
            format!("doas\n{expected}")
        );
        // Asked for or not, the password is never part of the input.
        for asks in [true, false] {
            assert_eq!(
                through(&sudo("pass word"), asks, stdin),
                format!("sudo\n{expected}")
            );
        }
        assert_eq!(through(&sudo("wrong"), true, stdin), "");
    }

    #[test]
    fn a_password_is_in_no_command_line() {
        let elevation = sudo("hunter2");
        assert!(!elevation.line(&["id"]).contains("hunter2"));
        assert!(!format!("{elevation:?}").contains("hunter2"));
        assert_eq!(elevation.password_line().as_slice(), b"hunter2\n");
        assert!(Elevation::Sudo(None).input(b"").is_empty());
    }
}
