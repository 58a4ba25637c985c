//! Histories to replay: random walks through the model, of which only what changes in etcd is kept.

use std::collections::BTreeSet;

use rand::{SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use stateright::Model as _;

use crate::{
    model::{Event, Membership, Sight},
    world::{Bounds, Part, Power, World},
};

/// Changes of one history; each takes etcd some seconds.
const CHANGES: usize = 11;
/// A walk that changes less is not worth a replay.
const WORTH: usize = 7;
const STEPS: usize = 4000;
const TRIES: usize = 2000;

/// What can change in etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Founded,
    LearnerAdded,
    Promoted,
    Left,
    Killed,
    CutOff,
    Healed,
    Restarted,
}

impl Change {
    const ALL: [Self; 8] = [
        Self::Founded,
        Self::LearnerAdded,
        Self::Promoted,
        Self::Left,
        Self::Killed,
        Self::CutOff,
        Self::Healed,
        Self::Restarted,
    ];
}

/// The worlds between which something changes in etcd.
pub struct History {
    pub worlds: Vec<World>,
    pub changes: BTreeSet<Change>,
}

/// So many histories, in which everything that can change does.
pub fn histories(seed: u64, count: usize) -> Vec<History> {
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..TRIES {
        // Every other one of a cluster that is there and is updated in place: only there k0s restarts.
        let chosen: Vec<_> = (0..count)
            .map(|number| worth_it(&mut random, number % 2 == 1))
            .collect();
        let changes: BTreeSet<_> = chosen
            .iter()
            .flat_map(|history| history.changes.clone())
            .collect();
        if Change::ALL.iter().all(|change| changes.contains(change)) {
            return chosen;
        }
    }
    panic!("the model has become too small to replay anything");
}

/// A walk that has come far, to a member that has left.
fn worth_it(random: &mut StdRng, in_place: bool) -> History {
    (0..TRIES)
        .map(|_| walk(random, in_place))
        .find(|history| history.worlds.len() > WORTH && history.changes.contains(&Change::Left))
        .expect("the model has become too small to replay anything")
}

fn walk(random: &mut StdRng, in_place: bool) -> History {
    let bounds = Bounds {
        faults: 3,
        edits: 5,
        sizes: &[1, 3, 5],
        machines: 10,
        in_place,
    };
    let model = Membership::new(bounds);
    let mut world = model.init_states().choose(random).unwrap().clone();
    let mut worlds = vec![world.clone()];
    let mut changes = BTreeSet::new();
    for _ in 0..STEPS {
        let lost = world.exists && !world.can_serve();
        if lost || worlds.len() > CHANGES || !model.within_boundary(&world) {
            break;
        }
        let mut events = Vec::new();
        model.actions(&world, &mut events);
        let Ok(event) = events.choose_weighted(random, weight) else {
            break;
        };
        // A model takes no notice of events that change nothing, or cannot be.
        let Some(after) = model.next_state(&world, *event) else {
            continue;
        };
        let seen: BTreeSet<_> = (1..=after.hosts.len() as u8)
            .flat_map(|id| seen(&world, &after, id))
            .collect();
        if !seen.is_empty() {
            changes.extend(seen);
            worlds.push(after.clone());
        }
        world = after;
    }
    History { worlds, changes }
}

/// Faults and odd looks are rare, or nothing would ever come about.
fn weight(event: &Event) -> u32 {
    match event {
        Event::Kill(_) | Event::Cut(_) | Event::UserDeletes(_) | Event::Flag(_) => 1,
        Event::Crash | Event::Upgrade | Event::Scale(_) => 2,
        Event::Pass(Sight::Clear) => 20,
        Event::Pass(_) => 2,
        _ => 10,
    }
}

/// What has changed at etcd on a host.
fn seen(before: &World, after: &World, id: u8) -> Vec<Change> {
    let (was, is) = (before.host(id), after.host(id));
    let part = match (was.part, is.part) {
        (Part::None, Part::Voter) => Some(Change::Founded),
        (Part::None, Part::Learner) => Some(Change::LearnerAdded),
        (Part::Learner, Part::Voter) => Some(Change::Promoted),
        (Part::Learner | Part::Voter, Part::None) => Some(Change::Left),
        _ => None,
    };
    let power = match (was.power, is.power) {
        (Power::Up | Power::Cut | Power::Down, Power::Dead) => Some(Change::Killed),
        (Power::Up, Power::Cut) => Some(Change::CutOff),
        (Power::Cut, Power::Up) => Some(Change::Healed),
        (Power::Down, Power::Up) => Some(Change::Restarted),
        (Power::Up, Power::Down) => Some(Change::Restarted),
        _ => None,
    };
    part.into_iter().chain(power).collect()
}
