//! Failure domains (contract C15): where a new Machine goes, and which of several Machines goes first. Pure, and for the
//! same facts the same, so that a creation that was interrupted is finished as it was begun.

use std::cmp::Reverse;

use super::observed::{MachineFacts, Observed, Repair};

/// The failure domain that a new Machine goes to: the one with the fewest Machines that stay, so that these are spread in
/// the end; of equals the one with the fewest of all, so that they are spread until then; then the first by name. None
/// where the infrastructure offers controllers none.
pub fn for_newcomer(observed: &Observed) -> Option<&str> {
    let staying = |domain: &str| count(observed.active().filter(|machine| stays(machine)), domain);
    let all = |domain: &str| count(&observed.machines, domain);
    let domains = observed.domains.iter().map(String::as_str);
    domains.min_by_key(|domain| (staying(domain), all(domain), *domain))
}

/// Of Machines that could all go, the one to go: in a failure domain that is not offered any more, else in the one with the
/// most of them, else in the one with the most Machines; of equals the first.
pub fn fullest<T>(
    observed: &Observed,
    candidates: Vec<T>,
    machine: impl Fn(&T) -> &MachineFacts,
) -> Option<T> {
    let rank = |candidate: &T| {
        let offered = machine(candidate)
            .domain
            .as_ref()
            .filter(|domain| observed.domains.contains(domain));
        offered.map(|domain| {
            let candidates = count(candidates.iter().map(&machine), domain);
            Reverse((candidates, count(&observed.machines, domain)))
        })
    };
    let ranks: Vec<_> = candidates.iter().map(rank).collect();
    let ranked = ranks.into_iter().zip(candidates);
    // None is less than anything.
    let first = ranked.min_by(|(one, _), (other, _)| one.cmp(other));
    first.map(|(_, candidate)| candidate)
}

/// Whether the Machine is neither on its way out nor to be replaced.
fn stays(machine: &MachineFacts) -> bool {
    (machine.outdated.is_empty() || machine.in_place) && machine.repair != Some(Repair::Due)
}

fn count<'a>(machines: impl IntoIterator<Item = &'a MachineFacts>, domain: &str) -> usize {
    let there = |machine: &&MachineFacts| machine.domain.as_deref() == Some(domain);
    machines.into_iter().filter(there).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::decide_tests::{machine, running},
        *,
    };

    /// One word a Machine: its failure domain, then `o` outdated, `g` on its way out. A `-` has none.
    fn plane(domains: &str, machines: &str) -> Observed {
        let facts = |(index, word): (usize, &str)| {
            let (domain, marks) = word.split_at(1);
            MachineFacts {
                domain: (domain != "-").then(|| domain.to_owned()),
                outdated: marks.matches('o').map(str::to_owned).collect(),
                deleting: marks.contains('g'),
                ..machine(&format!("m{}", index + 1))
            }
        };
        Observed {
            domains: domains.split_whitespace().map(str::to_owned).collect(),
            machines: machines.split_whitespace().enumerate().map(facts).collect(),
            ..running()
        }
    }

    #[test]
    fn newcomers_go_where_the_fewest_are() {
        let table = [
            ("", "", None),
            ("", "a", None),
            ("b a", "", Some("a")),
            ("a b c", "a", Some("b")),
            ("a b c", "a c", Some("b")),
            ("a b c", "a b c", Some("a")),
            // What is on its way out stays nowhere.
            ("a b c", "ag b c", Some("a")),
            // Those that stay come first: a roll would end with two in one place otherwise.
            ("a b c", "ao bo co", Some("a")),
            ("a b c", "a bo co", Some("b")),
            ("a b c", "a b co ao", Some("c")),
            // An equal number stays; in b another one stands for now.
            ("a b c", "a bo", Some("c")),
            // Where nobody knows, or where none is offered.
            ("a b", "- d", Some("a")),
        ];
        for (domains, machines, expected) in table {
            let observed = plane(domains, machines);
            assert_eq!(for_newcomer(&observed), expected, "{domains}: {machines}");
        }
    }

    #[test]
    fn who_goes_stands_where_the_most_are() {
        let table = [
            ("", "- -", "m1"),
            ("", "b a", "m1"),
            ("a b", "a b b", "m2"),
            ("a b", "a b b a", "m1"),
            // Another one that cannot go stands in b.
            ("a b", "a b bg", "m2"),
            // Nothing is offered there any more, or nobody knows where it is.
            ("a b", "a a d", "m3"),
            ("a b", "a a -", "m3"),
        ];
        for (domains, machines, expected) in table {
            let observed = plane(domains, machines);
            let active: Vec<_> = observed.active().collect();
            let first = fullest(&observed, active, |machine| machine).unwrap();
            assert_eq!(first.name, expected, "{domains}: {machines}");
        }
        let none: Vec<&MachineFacts> = Vec::new();
        assert!(fullest(&plane("a", ""), none, |machine| machine).is_none());
    }

    proptest! {
        /// However many there are, and whichever go meanwhile: as many more are spread over the domains as evenly as can be.
        #[test]
        fn what_is_added_and_taken_away_stays_spread(grow in 1_usize..12, shrink in 0_usize..12, racks in 1_usize..5) {
            let names: Vec<_> = (0..racks).map(|rack| format!("rack-{rack}")).collect();
            let mut observed = plane(&names.join(" "), "");
            let spread = |observed: &Observed| {
                let counts: Vec<_> = names.iter().map(|name| count(&observed.machines, name)).collect();
                counts.iter().max().unwrap() - counts.iter().min().unwrap()
            };
            for number in 0..grow {
                let domain = for_newcomer(&observed).map(str::to_owned);
                observed.machines.push(MachineFacts { domain, ..machine(&format!("m{number}")) });
                prop_assert!(spread(&observed) <= 1);
            }
            for _ in 0..shrink.min(grow) {
                let gone = fullest(&observed, observed.active().collect(), |machine| machine).unwrap().name.clone();
                observed.machines.retain(|machine| machine.name != gone);
                prop_assert!(spread(&observed) <= 1);
            }
        }

        /// A roll, whether new ones come first or old ones go first, ends as evenly spread as it began.
        #[test]
        fn a_roll_ends_spread(size in 1_usize..8, racks in 1_usize..5, create_first in any::<bool>()) {
            let names: Vec<_> = (0..racks).map(|rack| format!("rack-{rack}")).collect();
            let mut observed = plane(&names.join(" "), "");
            let add = |observed: &mut Observed, name: String| {
                let domain = for_newcomer(observed).map(str::to_owned);
                observed.machines.push(MachineFacts { domain, ..machine(&name) });
            };
            for number in 0..size {
                add(&mut observed, format!("old-{number}"));
            }
            for machine in &mut observed.machines {
                machine.outdated = vec!["version".to_owned()];
            }
            for number in 0..size {
                if create_first {
                    add(&mut observed, format!("new-{number}"));
                }
                let outdated = observed.active().filter(|machine| !machine.outdated.is_empty()).collect();
                let gone = fullest(&observed, outdated, |machine| machine).unwrap().name.clone();
                observed.machines.retain(|machine| machine.name != gone);
                if !create_first {
                    add(&mut observed, format!("new-{number}"));
                }
            }
            let counts: Vec<_> = names.iter().map(|name| count(&observed.machines, name)).collect();
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
    }
}
