//! The decisions about a control plane's membership, proven over a model of everything around them.
//!
//! A model checker explores whatever can happen in whatever order: hosts that come up, die, are cut off or can never
//! join; learners that are promoted, members that leave; users who delete Machines and edit the spec; an operator that
//! crashes between any two writes and reads that fail, are stale, or do not find a healthy member. Checked in every
//! state that can be reached:
//!
//! - no removal leaves fewer healthy voters than a quorum, health being what is so and not what is seen;
//! - no member is added or removed while k0s updates controllers by a Plan, and no Plan begins while one is;
//! - there are never two clusters, and never more Machines than asked for and one;
//! - once faults stop, the control plane gets to what the spec asks for, within so many rounds. The checker leaves
//!   cycles out of properties that hold "eventually", so this is one that holds always, of the state's future without
//!   further faults.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod future;
mod model;
mod updates;
mod world;

use std::time::Instant;

use stateright::{Checker, Model};

use model::Membership;
use world::Bounds;

/// Explores every history within the bounds.
fn explore(name: &str, bounds: Bounds, at_least: usize) {
    let begun = Instant::now();
    let checker = Membership::new(bounds).checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} unique states, {} in all, depth {}, {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed()
    );
    checker.assert_properties();
    assert!(
        checker.unique_state_count() >= at_least,
        "the model has become too small to prove anything"
    );
}

#[test]
fn no_history_of_up_to_three_controllers_costs_the_quorum_or_stops_half_way() {
    let bounds = Bounds {
        faults: 2,
        edits: 1,
        sizes: &[1, 3],
        machines: 6,
        in_place: false,
    };
    explore("up to three", bounds, 750_000);
}

#[test]
fn nor_does_one_of_five() {
    let bounds = Bounds {
        faults: 1,
        edits: 1,
        sizes: &[1, 3, 5],
        machines: 8,
        in_place: false,
    };
    explore("five", bounds, 300_000);
}

#[test]
fn updates_in_place_never_meet_a_change_of_membership() {
    let bounds = Bounds {
        faults: 1,
        edits: 2,
        sizes: &[1, 3],
        machines: 5,
        in_place: true,
    };
    explore("in place", bounds, 100_000);
}
