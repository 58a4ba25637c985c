//! The future of a world in which nothing goes wrong any more.

use std::{collections::HashMap, sync::Mutex};

use crate::{
    model::{Sight, pass},
    world::{Host, MOST, Object, Part, Power, Read, World, broken},
};

/// Rounds within which everything is as the spec asks for: a round is a pass, and one step of everything else.
const ROUNDS: u32 = 90;

/// How far worlds are from what is asked for. Every world on a way that was walked is known afterwards.
#[derive(Default)]
pub struct Future {
    distances: Mutex<HashMap<World, u32>>,
}

impl Future {
    /// Whether the world gets to what is asked for. The pass in progress is lost, as by one last crash.
    pub fn reaches_the_spec(&self, world: &World) -> bool {
        let mut world = calm(world);
        let mut way = Vec::new();
        let rest = loop {
            if let Some(distance) = self.distances.lock().unwrap().get(&world) {
                break *distance;
            }
            if excused(&world) || reached(&world) {
                way.push(world);
                break 0;
            }
            if way.len() > ROUNDS as usize || usize::from(world.sequence) >= MOST {
                return false;
            }
            let mut after = world.clone();
            round(&mut after);
            way.push(std::mem::replace(&mut world, after));
        };
        let mut distances = self.distances.lock().unwrap();
        let mut distance = rest;
        for world in way.into_iter().rev() {
            distances.insert(world, distance);
            distance += 1;
        }
        distance <= ROUNDS + 1
    }
}

/// The world after its last fault: nobody is cut off, the spec is one that hosts can follow, the MachineHealthCheck has
/// seen the dead.
fn calm(world: &World) -> World {
    let mut calm = world.clone();
    (calm.faults, calm.edits) = (0, 0);
    calm.pending.clear();
    calm.read = Read::default();
    if broken(calm.version) {
        calm.version += 1;
    }
    for host in &mut calm.hosts {
        if host.power == Power::Cut {
            host.power = Power::Up;
        }
        let dead = host.power == Power::Dead;
        if let Some(machine) = &mut host.machine {
            machine.flagged = dead;
        }
    }
    calm
}

/// One pass and one step of everything else.
fn round(world: &mut World) {
    pass(world, Sight::Clear);
    while !world.pending.is_empty() {
        world.write();
    }
    for id in world.ids() {
        _ = world.start(id)
            || world.join(id)
            || world.promote(id)
            || world.publish(id)
            || world.signal(id)
            || world.stop(id)
            || world.come_back(id)
            || world.leave(id)
            || world.finish(id);
    }
    world.complete();
}

/// As many voters as asked for, all of them healthy, on Machines that are as asked for, and nothing else. A name may be
/// kept for the next Machine.
fn reached(world: &World) -> bool {
    let wanted = |id: u8| {
        let host = world.host(id);
        match host.machine {
            None => host.part == Part::None,
            Some(machine) => {
                !machine.deleting
                    && machine.version == world.version
                    && (!world.in_place || host.runs == world.version && host.updating.is_none())
                    && (host.part, host.power) == (Part::Voter, Power::Up)
            }
        }
    };
    world.exists
        && world.violation.is_none()
        && world.begun.is_none_or(|id| *world.host(id) == Host::default())
        && world.machines() == usize::from(world.replicas)
        && world.ids().all(wanted)
}

/// Where only a person can help: the quorum is lost to hosts that died; a host died while another member was leaving,
/// which etcd keeps for the quorum's sake; or a host died while its member had no EtcdMember yet, by which alone k0s can
/// be told to take it out.
fn excused(world: &World) -> bool {
    let unknown = |host: &Host| {
        let part = host.part == Part::Learner || host.part == Part::Voter && host.object == Object::None;
        part && host.power == Power::Dead
    };
    let kept = |id: u8| world.host(id).object == Object::Leaving && !world.clone().leave(id);
    world.hosts.iter().any(unknown) || world.exists && !world.can_serve() || world.ids().any(kept)
}
