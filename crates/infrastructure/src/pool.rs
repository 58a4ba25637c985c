//! Which host of a pool a RemoteMachine gets. Pure.
//!
//! The reservation is an annotation of the entry, written against the version that was read: of two managers that
//! choose the same entry one fails and looks again. The machine says the same with an annotation of its own, so that
//! the one can be rebuilt from the other after a restore.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k0smotron_api::{
    infrastructure::v1beta2::{PooledRemoteMachine, RemoteMachine, RemoteMachineSpec},
    names::annotations,
};
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};

/// What a pool has for a machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// This host: reserved for the machine already, or free.
    Entry(Arc<PooledRemoteMachine>),
    /// The entry that the machine says it has is reserved for somebody else.
    Lost { entry: String, by: String },
    /// Every host is taken, of those that stand where one is asked for.
    Full {
        domain: Option<String>,
        hosts: usize,
        quarantined: usize,
    },
}

/// Whether the machine takes its host from a pool.
pub fn is_drawn(spec: &RemoteMachineSpec) -> bool {
    pool_of(spec).is_some() || spec.pool_selector.is_some()
}

/// Whether the entry is one of those that the machine may get: of its pool, with the labels that it asks for.
pub fn selects(spec: &RemoteMachineSpec, entry: &PooledRemoteMachine) -> bool {
    let by_pool = pool_of(spec).map(|pool| pool == entry.spec.pool);
    let by_labels = spec.pool_selector.as_ref().map(|selector| {
        // What is no selector selects nothing; admission refuses it.
        Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(entry.labels()))
    });
    is_drawn(spec) && by_pool.unwrap_or(true) && by_labels.unwrap_or(true)
}

/// How messages call the entries that the machine may get.
pub fn described(spec: &RemoteMachineSpec) -> String {
    let pool = pool_of(spec).map(|pool| format!("pool {pool}"));
    match (&spec.pool_selector, pool) {
        (None, pool) => pool.unwrap_or_else(|| "no pool".to_owned()),
        (Some(selector), pool) => {
            let labels = Selector::try_from(selector.clone())
                .map_or_else(|error| error.to_string(), |it| it.to_string());
            format!(
                "{} with the labels {labels:?}",
                pool.as_deref().unwrap_or("any pool")
            )
        }
    }
}

fn pool_of(spec: &RemoteMachineSpec) -> Option<&str> {
    spec.pool.as_deref().filter(|pool| !pool.is_empty())
}

/// Name of the RemoteMachine that an entry is reserved for.
pub fn reserved_by(entry: &PooledRemoteMachine) -> Option<&str> {
    entry
        .annotations()
        .get(annotations::RESERVED_BY)
        .map(String::as_str)
        .filter(|name| !name.is_empty())
}

/// Why the entry is given to nobody.
pub fn quarantine(entry: &PooledRemoteMachine) -> Option<&str> {
    entry
        .annotations()
        .get(annotations::QUARANTINED)
        .map(String::as_str)
}

/// Name of the entry whose host the machine uses.
pub fn entry_of(machine: &RemoteMachine) -> Option<&str> {
    machine
        .annotations()
        .get(annotations::POOLED_MACHINE)
        .map(String::as_str)
        .filter(|name| !name.is_empty())
}

/// The entry for `machine`. `domain`: the failure domain that it is to stand in (contract IM3), if any; `entries`: those of
/// its namespace that it may get ([`selects`]) or has; `others`: all other RemoteMachines; `taken`: names of entries that this process is about to
/// give to others ([`Claims`]).
pub fn choose(
    machine: &RemoteMachine,
    domain: Option<&str>,
    entries: &[Arc<PooledRemoteMachine>],
    others: &[Arc<RemoteMachine>],
    taken: &BTreeSet<String>,
) -> Choice {
    let name = machine.name_any();
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|entry| entry.name_any());
    if let Some(entry) = entries.iter().find(|entry| reserved_by(entry) == Some(&name)) {
        return Choice::Entry(Arc::clone(entry));
    }
    if let Some(entry) = entries.iter().find(|entry| is_named(entry, machine)) {
        return match reserved_by(entry) {
            Some(by) => Choice::Lost {
                entry: entry.name_any(),
                by: by.to_owned(),
            },
            None => Choice::Entry(Arc::clone(entry)),
        };
    }
    // Of a pool that knows of no failure domains any host does.
    let domain = domain.filter(|_| entries.iter().any(|entry| domain_of(entry).is_some()));
    entries.retain(|entry| domain.is_none() || domain_of(entry) == domain);
    let free = entries.iter().find(|entry| {
        reserved_by(entry).is_none()
            && quarantine(entry).is_none()
            && entry.spec.unsupported().is_empty()
            && entry.metadata.deletion_timestamp.is_none()
            && !taken.contains(&entry.name_any())
            && !others
                .iter()
                .any(|other| is_named(entry, other) || uses_address(entry, other))
    });
    match free {
        Some(entry) => Choice::Entry(Arc::clone(entry)),
        None => Choice::Full {
            domain: domain.map(str::to_owned),
            hosts: entries.len(),
            quarantined: entries.iter().filter(|entry| quarantine(entry).is_some()).count(),
        },
    }
}

/// The failure domain that the host stands in.
fn domain_of(entry: &PooledRemoteMachine) -> Option<&str> {
    entry.spec.machine.failure_domain.as_deref()
}

/// Whether the machine has the entry's host although the entry does not say so: after a restore, or because the
/// controller before this one kept reservations in status only.
fn is_named(entry: &PooledRemoteMachine, machine: &RemoteMachine) -> bool {
    if entry.namespace() != machine.namespace() {
        return false;
    }
    match entry_of(machine) {
        Some(name) => name == entry.name_any(),
        None => {
            let status = entry.status.as_ref();
            let by = status
                .filter(|status| status.reserved)
                .and_then(|status| status.machine_ref.as_ref());
            by.is_some_and(|by| by.name == machine.name_any())
                || (selects(&machine.spec, entry) && uses_address(entry, machine))
        }
    }
}

fn uses_address(entry: &PooledRemoteMachine, machine: &RemoteMachine) -> bool {
    machine.spec.address.as_deref() == Some(&entry.spec.machine.address)
        && machine.spec.port == entry.spec.machine.port
}

/// Which machine of this process is about to get which entry. Without it every machine that waits would try for the same
/// first entry, and all but one would have to come back.
#[derive(Clone, Default)]
pub struct Claims(Arc<Mutex<HashMap<(String, String), String>>>);

impl Claims {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), String>> {
        // Only inserts and removals happen under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `machine` may try for the entry: nobody else does.
    pub fn take(&self, entry: &PooledRemoteMachine, machine: &RemoteMachine) -> bool {
        let name = machine.name_any();
        *self.lock().entry(key(entry)).or_insert_with(|| name.clone()) == name
    }

    /// Nobody tries for the entry any more.
    pub fn give_up(&self, entry: &PooledRemoteMachine) {
        self.lock().remove(&key(entry));
    }

    /// Names of the entries of the machine's namespace that others try for. `others`: those that are there; a claim of
    /// one that is not means nothing.
    pub fn of_others(&self, machine: &RemoteMachine, others: &[Arc<RemoteMachine>]) -> BTreeSet<String> {
        let namespace = machine.namespace().unwrap_or_default();
        let is_there = |name: &str| {
            others
                .iter()
                .any(|other| other.name_any() == name && other.namespace() == machine.namespace())
        };
        let claims = self.lock();
        let theirs = claims
            .iter()
            .filter(|((of, _), by)| *of == namespace && is_there(by));
        theirs.map(|((_, entry), _)| entry.clone()).collect()
    }
}

fn key(entry: &PooledRemoteMachine) -> (String, String) {
    (entry.namespace().unwrap_or_default(), entry.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(
        machine: &RemoteMachine,
        entries: &[Arc<PooledRemoteMachine>],
        others: &[Arc<RemoteMachine>],
    ) -> Choice {
        super::choose(machine, None, entries, others, &BTreeSet::new())
    }

    fn full(hosts: usize, quarantined: usize) -> Choice {
        Choice::Full {
            domain: None,
            hosts,
            quarantined,
        }
    }

    #[test]
    fn what_another_machine_tries_for_is_passed_over() {
        let entries = [entry("a", ""), entry("b", "")];
        let (m, n) = (machine("m", "", ""), machine("n", "", ""));
        let claims = Claims::default();
        assert!(claims.take(&entries[0], &m));
        assert!(claims.take(&entries[0], &m), "again");
        assert!(!claims.take(&entries[0], &n));
        let taken = claims.of_others(&n, std::slice::from_ref(&m));
        assert_eq!(chosen(&super::choose(&n, None, &entries, &[], &taken)), "b");
        assert!(claims.of_others(&m, &[]).is_empty(), "its own");
        assert!(claims.of_others(&n, &[]).is_empty(), "of a machine that is gone");
        claims.give_up(&entries[0]);
        assert!(claims.take(&entries[0], &n));
    }

    fn entry(name: &str, annotations: &str) -> Arc<PooledRemoteMachine> {
        Arc::new(
            serde_yaml::from_str(&format!(
                "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: PooledRemoteMachine\n\
                 metadata: {{name: {name}, namespace: ns, annotations: {{{annotations}}}}}\n\
                 spec: {{pool: p, machine: {{address: {name}.example.org, sshKeyRef: {{name: key}}}}}}\n"
            ))
            .unwrap(),
        )
    }

    fn machine(name: &str, annotations: &str, spec: &str) -> Arc<RemoteMachine> {
        Arc::new(
            serde_yaml::from_str(&format!(
                "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: RemoteMachine\n\
                 metadata: {{name: {name}, namespace: ns, annotations: {{{annotations}}}}}\nspec: {{pool: p, {spec}}}\n"
            ))
            .unwrap(),
        )
    }

    fn chosen(choice: &Choice) -> String {
        match choice {
            Choice::Entry(entry) => entry.name_any(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_first_free_one_by_name() {
        let entries = [
            entry("c", ""),
            entry("b", ""),
            entry("a", "k0smotron.io/reserved-by: other"),
            entry("0", "k0smotron.io/quarantined: dirty"),
        ];
        assert_eq!(chosen(&choose(&machine("m", "", ""), &entries, &[])), "b");
    }

    #[test]
    fn what_is_reserved_already_wins() {
        let entries = [entry("a", ""), entry("b", "k0smotron.io/reserved-by: m")];
        assert_eq!(chosen(&choose(&machine("m", "", ""), &entries, &[])), "b");
    }

    #[test]
    fn reservations_are_rebuilt_from_what_machines_say() {
        let entries = [entry("a", ""), entry("b", "")];
        // A restore that lost the entry's annotation, and a machine of the controller before us.
        for mine in [
            machine("m", "k0smotron.io/pooled-machine: b", ""),
            machine("m", "", "address: b.example.org"),
        ] {
            assert_eq!(chosen(&choose(&mine, &entries, &[])), "b");
            // Nor does anybody else get it meanwhile.
            let first = [machine("x", "k0smotron.io/pooled-machine: a", ""), mine];
            assert_eq!(choose(&machine("n", "", ""), &entries, &first), full(2, 0));
        }
    }

    #[test]
    fn reservations_in_status_are_taken_over() {
        let mut theirs = entry("a", "");
        Arc::make_mut(&mut theirs).status =
            serde_yaml::from_str("{reserved: true, machineRef: {name: m, namespace: ns}}").unwrap();
        let entries = [theirs, entry("b", "")];
        assert_eq!(chosen(&choose(&machine("m", "", ""), &entries, &[])), "a");
        assert_eq!(
            chosen(&choose(&machine("n", "", ""), &entries, &[machine("m", "", "")])),
            "b"
        );
    }

    #[test]
    fn a_host_that_somebody_got_meanwhile_is_lost() {
        let entries = [entry("a", "k0smotron.io/reserved-by: n")];
        let choice = choose(&machine("m", "k0smotron.io/pooled-machine: a", ""), &entries, &[]);
        assert_eq!(
            choice,
            Choice::Lost {
                entry: "a".into(),
                by: "n".into()
            }
        );
    }

    #[test]
    fn labels_select_among_the_entries_of_a_pool_or_of_all() {
        let labelled = |name: &str, pool: &str, labels: &str| {
            let mut entry = entry(name, "");
            let changed = Arc::make_mut(&mut entry);
            changed.spec.pool = pool.to_owned();
            changed.metadata.labels = Some(serde_yaml::from_str(&format!("{{{labels}}}")).unwrap());
            entry
        };
        let entries = [
            labelled("a", "p", "gpu: none"),
            labelled("b", "other", "gpu: a100, rack: r1"),
            labelled("c", "p", "gpu: a100"),
        ];
        let selected = |spec: &str| {
            let spec: RemoteMachineSpec = serde_yaml::from_str(&format!("{{{spec}}}")).unwrap();
            let names = entries
                .iter()
                .filter(|entry| selects(&spec, entry))
                .map(|entry| entry.name_any());
            (names.collect::<Vec<_>>().join(""), described(&spec))
        };
        let is = |spec: &str, names: &str, said: &str| {
            assert_eq!(selected(spec), (names.to_owned(), said.to_owned()));
        };
        is("pool: p", "ac", "pool p");
        is(
            "poolSelector: {matchLabels: {gpu: a100}}",
            "bc",
            "any pool with the labels \"gpu=a100\"",
        );
        is(
            "pool: p, poolSelector: {matchLabels: {gpu: a100}}",
            "c",
            "pool p with the labels \"gpu=a100\"",
        );
        is(
            "pool: '', poolSelector: {matchExpressions: [{key: rack, operator: Exists}]}",
            "b",
            "any pool with the labels \"rack\"",
        );
        is("poolSelector: {}", "abc", "any pool with the labels \"\"");
        is("address: a", "", "no pool");
        // Nothing that is no selector gets a host by accident.
        assert_eq!(
            selected("poolSelector: {matchExpressions: [{key: rack, operator: Is}]}").0,
            ""
        );
    }

    #[test]
    fn an_empty_pool_is_full() {
        assert_eq!(choose(&machine("m", "", ""), &[], &[]), full(0, 0));
        let entries = [entry("a", "k0smotron.io/quarantined: dirty")];
        assert_eq!(choose(&machine("m", "", ""), &entries, &[]), full(1, 1));
    }

    #[test]
    fn a_host_stands_where_one_is_asked_for() {
        let standing = |name: &str, annotations: &str, domain: &str| {
            let mut entry = entry(name, annotations);
            Arc::make_mut(&mut entry).spec.machine.failure_domain = Some(domain.to_owned());
            entry
        };
        let entries = [
            entry("0", ""),
            standing("a", "k0smotron.io/reserved-by: x", "rack-1"),
            standing("b", "", "rack-2"),
            standing("c", "k0smotron.io/quarantined: dirty", "rack-3"),
            standing("d", "k0smotron.io/reserved-by: y", "rack-3"),
        ];
        let m = machine("m", "", "");
        let choose = |machine: &RemoteMachine, domain, entries: &[Arc<PooledRemoteMachine>]| {
            super::choose(machine, domain, entries, &[], &BTreeSet::new())
        };
        assert_eq!(chosen(&choose(&m, Some("rack-2"), &entries)), "b");
        assert_eq!(chosen(&choose(&m, None, &entries)), "0");
        let full = |domain: &str, hosts, quarantined| Choice::Full {
            domain: Some(domain.to_owned()),
            hosts,
            quarantined,
        };
        // There are free ones elsewhere, and nobody has asked for those.
        assert_eq!(choose(&m, Some("rack-1"), &entries), full("rack-1", 1, 0));
        assert_eq!(choose(&m, Some("rack-3"), &entries), full("rack-3", 2, 1));
        assert_eq!(choose(&m, Some("rack-4"), &entries), full("rack-4", 0, 0));
        // What it has it keeps.
        assert_eq!(
            chosen(&choose(&machine("x", "", ""), Some("rack-2"), &entries)),
            "a"
        );
        // Nobody has said where the hosts of this pool stand.
        assert_eq!(chosen(&choose(&m, Some("rack-1"), &entries[..1])), "0");
    }
}
