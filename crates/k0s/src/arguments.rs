//! Arguments of `k0s controller` and `k0s worker`: what users wrote, merged with what a Machine needs.
//!
//! Users write each entry as they would on a command line, so an entry may hold several words, quotes and expansions
//! (`--profile custom`, `--kubelet-extra-args="--node-ip=$NODE_IP"`). Entries are read as shell words and written back
//! quoted: expansions are made on the host, and nothing else in them can become another command.

use crate::shell::{self, Word};

const KUBELET_EXTRA_ARGS: &str = "--kubelet-extra-args";

/// Label on every node that can run workloads; ties the Node to its Machine.
pub const MACHINE_NAME_LABEL: &str = "k0smotron.io/machine-name";

/// Whether these controller arguments make it run workloads as well: `--enable-worker` or `--single`.
pub fn worker_enabled(args: &[String]) -> bool {
    is_set(args, "--enable-worker") || single(args)
}

/// Whether the arguments make the only controller of a cluster, which no other one can join.
pub fn single(args: &[String]) -> bool {
    is_set(args, "--single")
}

fn is_set(args: &[String], flag: &str) -> bool {
    let words = texts(args);
    let mut values = words.iter().rev().filter_map(|word| bool_flag(word, flag));
    values.next().unwrap_or(false)
}

/// Value of a flag in `--flag=value` or `--flag value` form; the last one wins, as for k0s.
pub fn flag_value(args: &[String], flag: &str) -> Option<String> {
    flag_values(args, flag).pop()
}

/// Whether these controller arguments disable a component of k0s; `--disable-components` adds up.
pub fn disables_component(args: &[String], component: &str) -> bool {
    let values = flag_values(args, "--disable-components");
    values
        .iter()
        .any(|value| value.split(',').any(|name| name.trim() == component))
}

fn flag_values(args: &[String], flag: &str) -> Vec<String> {
    let words = texts(args);
    let following = words.iter().skip(1).map(Some).chain([None]);
    words
        .iter()
        .zip(following)
        .filter_map(|(word, next)| match word.strip_prefix(flag) {
            Some("") => next.cloned(),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        })
        .collect()
}

/// The user's arguments plus `ours`, the Machine's label and node name.
///
/// For a node that runs workloads: `--labels` comes first, so that k0s adds the user's own to it; the host name comes
/// first among the kubelet's arguments, so that a user's own `--hostname-override` wins. All kubelet arguments end up
/// in one last `--kubelet-extra-args`, of which k0s takes only one. `split` reads the words of an entry.
pub(crate) fn merge(
    user: &[String],
    ours: &[&str],
    machine_name: &str,
    worker: bool,
    use_system_hostname: bool,
    split: fn(&str) -> Vec<Word>,
) -> Vec<Word> {
    let mut merged = Vec::new();
    let mut kubelet = Vec::new();
    if worker {
        let label = format!("--labels={MACHINE_NAME_LABEL}={machine_name}");
        merged.push(Word::from(label.as_str()));
        if !use_system_hostname {
            let name = format!("--hostname-override={machine_name}");
            kubelet.push(Word::from(name.as_str()));
        }
    }
    for word in words(user, split) {
        match word.strip_prefix(&format!("{KUBELET_EXTRA_ARGS}=")) {
            Some(args) => kubelet.push(args),
            None => merged.push(word),
        }
    }
    merged.extend(ours.iter().map(|word| Word::from(*word)));
    kubelet.retain(|args| !args.is_empty());
    let mut all = Word::default();
    for (index, args) in kubelet.iter().enumerate() {
        let before = if index == 0 {
            format!("{KUBELET_EXTRA_ARGS}=")
        } else {
            " ".to_owned()
        };
        all.push_str(&before);
        all.append(args);
    }
    merged.extend((!kubelet.is_empty()).then_some(all));
    merged
}

/// Command line of words.
pub(crate) fn command_line(words: impl IntoIterator<Item = Word>) -> String {
    let quoted: Vec<_> = words.into_iter().map(|word| word.quoted()).collect();
    quoted.join(" ")
}

/// What the words of all entries say before any expansion.
fn texts(args: &[String]) -> Vec<String> {
    words(args, shell::split).iter().map(Word::text).collect()
}

/// The words of all entries.
///
/// The value of `--…-extra-args` is a command line of its own and stays one word, whether it was written with `=`, after
/// a space or as the next entry, with quotes or without: split, its second half would go to k0s.
fn words(args: &[String], split: fn(&str) -> Vec<Word>) -> Vec<Word> {
    let mut words = Vec::new();
    let mut args = args.iter().map(|arg| arg.trim());
    while let Some(arg) = args.next() {
        let end = arg
            .find(|c: char| c == '=' || c.is_whitespace())
            .unwrap_or(arg.len());
        let (flag, rest) = arg.split_at(end);
        if flag.starts_with("--") && flag.ends_with("-extra-args") {
            let value = if rest.is_empty() {
                args.next().unwrap_or_default()
            } else {
                rest.get(1..).unwrap_or_default()
            };
            let mut word = Word::from(format!("{flag}=").as_str());
            word.append(&whole(value.trim()));
            words.push(word);
        } else {
            words.extend(split(arg));
        }
    }
    words
}

/// One word of the whole text, without the pair of quotes that may enclose it. As for a shell, single ones keep
/// expansions from being made.
fn whole(text: &str) -> Word {
    let inner = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    match inner('\'') {
        Some(inner) => Word::from(inner),
        None => shell::in_double_quotes(inner('"').unwrap_or(text)),
    }
}

/// What `word` says about a boolean flag, if it is that flag.
fn bool_flag(word: &str, flag: &str) -> Option<bool> {
    match word.strip_prefix(flag)? {
        "" => Some(true),
        rest => match rest.strip_prefix('=')? {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            _ => Some(false),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn args(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    fn merge(
        user: &[String],
        ours: &[&str],
        machine: &str,
        worker: bool,
        system_hostname: bool,
    ) -> Vec<String> {
        let merged = super::merge(user, ours, machine, worker, system_hostname, shell::split);
        merged.iter().map(Word::text).collect()
    }

    #[test]
    fn recognises_every_way_to_enable_the_worker() {
        for yes in [
            &["--enable-worker"][..],
            &["--enable-worker=true"],
            &["--single"],
            &["--debug", "--single=true"],
            &["--no-taints --enable-worker"],
            &["--enable-worker=false", "--enable-worker"],
        ] {
            assert!(worker_enabled(&args(yes)), "{yes:?}");
        }
        for no in [
            &[][..],
            &["--enable-worker=false"],
            &["--enable-workers"],
            &["--labels=--enable-worker"],
            &["--enable-worker", "--enable-worker=false"],
            &["--kubelet-extra-args", "--single"],
        ] {
            assert!(!worker_enabled(&args(no)), "{no:?}");
        }
    }

    #[test]
    fn finds_flag_values_in_both_forms() {
        for form in [
            &["--data-dir=/data"][..],
            &["--data-dir", "/data"],
            &["--data-dir /data"],
            &["--data-dir='/data'"],
            &["--data-dir=/old", "--debug", "--data-dir=/data"],
        ] {
            assert_eq!(
                flag_value(&args(form), "--data-dir").as_deref(),
                Some("/data"),
                "{form:?}"
            );
        }
        assert_eq!(flag_value(&args(&["--data-dir"]), "--data-dir"), None);
        assert_eq!(flag_value(&args(&["--data-directory=/x"]), "--data-dir"), None);
    }

    #[test]
    fn folds_kubelet_arguments_into_one() {
        let expected = "--kubelet-extra-args=--hostname-override=m1 --my-arg=value --v=4";
        for form in [
            &["--kubelet-extra-args=\"--my-arg=value --v=4\""][..],
            &["--kubelet-extra-args='--my-arg=value --v=4'"],
            &["--kubelet-extra-args=--my-arg=value --v=4"],
            &["--kubelet-extra-args --my-arg=value --v=4"],
            &["--kubelet-extra-args \"--my-arg=value --v=4\""],
            &["--kubelet-extra-args", "--my-arg=value --v=4"],
            &[
                "--kubelet-extra-args=--my-arg=value",
                "--kubelet-extra-args=--v=4",
            ],
        ] {
            let merged = merge(&args(form), &[], "m1", true, false);
            assert_eq!(
                merged,
                ["--labels=k0smotron.io/machine-name=m1", expected],
                "{form:?}"
            );
        }
    }

    #[test]
    fn passes_everything_else_through_in_order() {
        let user = args(&[
            "--debug",
            "--labels=a=b",
            "--taints",
            "x=y:NoSchedule",
            "--profile custom",
        ]);
        assert_eq!(
            merge(&user, &[], "m1", true, true),
            [
                "--labels=k0smotron.io/machine-name=m1",
                "--debug",
                "--labels=a=b",
                "--taints",
                "x=y:NoSchedule",
                "--profile",
                "custom"
            ]
        );
        assert_eq!(merge(&user, &[], "m1", false, false).first().unwrap(), "--debug");
        assert!(merge(&[], &[], "m1", false, false).is_empty());
        assert!(merge(&args(&["--kubelet-extra-args="]), &[], "m1", false, false).is_empty());
    }

    #[test]
    fn keeps_other_extra_args_whole() {
        let user = args(&["--kube-controller-manager-extra-args=--a=1 --b=2"]);
        assert_eq!(
            merge(&user, &[], "m1", false, false),
            ["--kube-controller-manager-extra-args=--a=1 --b=2"]
        );
    }

    #[test]
    fn expansions_are_left_to_the_host() {
        let user = args(&[
            "--labels=zone=$ZONE",
            "--kubelet-extra-args=\"--node-ip=$(hostname -I | cut -d' ' -f1)\"",
            "--kubelet-extra-args='--v=$V'",
            "--debug; id",
        ]);
        assert_eq!(
            command_line(super::merge(&user, &[], "m1", true, false, shell::split)),
            "--labels=k0smotron.io/machine-name=m1 --labels=zone=$ZONE'' '--debug;' id \
             '--kubelet-extra-args=--hostname-override=m1 --node-ip='\"$(hostname -I | cut -d' ' -f1)\"' --v=$V'"
        );
    }

    proptest! {
        #[test]
        fn nothing_a_user_writes_ends_the_command(user in proptest::collection::vec("[^{$`]{0,20}", 0..4)) {
            let merged = super::merge(&user, &[], "m1", true, false, shell::split);
            prop_assert_eq!(shell::split(&command_line(merged.clone())), merged);
        }
    }
}
