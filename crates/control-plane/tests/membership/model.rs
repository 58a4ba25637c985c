//! What can happen in the world, and what is seen of it.

use std::collections::BTreeMap;

use k0smotron_control_plane::k0s_control_plane::{
    autopilot::{Autopilot, Controller, PlanFacts, State},
    decide::{Step, decide},
    membership::Membership as Change,
    observed::{
        Answer, Authority, AuthorityState, Begun, Etcd, KubeconfigState, MachineFacts, MemberFacts, Observed,
        Owner, Repair, Strategy,
    },
    plan::Update,
};
use stateright::{Model, Property};

use crate::{
    future::Future,
    world::{Bounds, Host, Object, Part, PlanState, Power, Read, World, Write},
};

/// How a pass sees the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    Clear,
    /// The health of this member could not be asked for.
    Without(u8),
    /// What is known of the members is from before the last change.
    Stale,
    /// The workload cluster does not answer.
    None,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    Pass(Sight),
    Write,
    Crash,
    Start(u8),
    Join(u8),
    Promote(u8),
    Publish(u8),
    Leave(u8),
    Finish(u8),
    /// k0s tells the controller to update itself.
    Signal(u8),
    Stop(u8),
    ComeBack(u8),
    Complete,
    Heal(u8),
    Kill(u8),
    Cut(u8),
    UserDeletes(u8),
    /// The MachineHealthCheck flags the Machine; by mistake, if its host lives.
    Flag(u8),
    Scale(u8),
    /// A new version, on which hosts can join or cannot.
    Upgrade,
}

/// The model: the decisions in their world.
pub struct Membership {
    bounds: Bounds,
    future: Future,
}

impl Membership {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            future: Future::default(),
        }
    }
}

fn name(id: u8) -> String {
    format!("m{id}")
}

fn id(name: &str) -> u8 {
    name[1..].parse().unwrap()
}

/// What the operator sees.
pub fn observe(world: &World, sight: Sight) -> Observed {
    let answers = world.serves() && sight != Sight::None;
    let machines = world.ids().filter_map(|id| {
        let machine = world.host(id).machine?;
        Some(MachineFacts {
            name: name(id),
            deleting: machine.deleting,
            hooked: machine.hooked,
            outdated: if machine.version == world.version {
                Vec::new()
            } else {
                vec![String::new()]
            },
            in_place: world.in_place && machine.version != world.version,
            started: machine.started,
            stalled: world.stalled(id),
            drained: true,
            preferred: false,
            repair: machine.flagged.then_some(Repair::Due),
            domain: None,
        })
    });
    let members = world.ids().filter_map(|id| {
        let host = world.host(id);
        (host.object != Object::None).then(|| MemberFacts {
            name: name(id),
            left: host.object == Object::Left,
            leaving: host.object == Object::Leaving,
            ready: host.power == Power::Up && host.part == Part::Voter && sight != Sight::Without(id),
            message: String::new(),
            ours: true,
        })
    });
    Observed {
        owner: Owner::Found,
        paused: None,
        deleting: false,
        finalizer: true,
        endpoint: true,
        refusals: Vec::new(),
        exists: world.exists,
        exists_persisted: world.exists,
        begun: world.begun.map(|id| Begun { name: name(id) }),
        next_name: name(world.sequence + 1),
        authorities: BTreeMap::from(Authority::ALL.map(|authority| (authority, AuthorityState::Present))),
        kubeconfig: KubeconfigState::Good,
        template: None,
        replicas: usize::from(world.replicas),
        strategy: if world.delete_first {
            Strategy::DeleteFirst
        } else {
            Strategy::CreateFirst
        },
        domains: Vec::new(),
        machines: machines.collect(),
        etcd: match answers {
            true => Etcd::Members {
                fresh: sight != Sight::Stale,
                members: members.collect(),
            },
            false => Etcd::Unknown(String::new()),
        },
        autopilot: match answers {
            true => autopilot(world, sight),
            false => Autopilot::Unknown(String::new()),
        },
        download: None,
        workers: 0,
        goes: false,
        goes_next: false,
        answer: match answers {
            true => Answer::Yes {
                cluster_uid: String::new(),
            },
            false => Answer::No(String::new()),
        },
    }
}

fn autopilot(world: &World, sight: Sight) -> Autopilot {
    let controllers = world.ids().filter_map(|id| {
        let host = world.host(id);
        let controller = Controller {
            version: host.runs.to_string(),
            up_to_date: host.runs == world.version,
            updating: host.updating.map(|_| String::new()),
        };
        (host.object == Object::Joined || host.object == Object::Leaving).then(|| (name(id), controller))
    });
    Autopilot::Known {
        fresh: sight != Sight::Stale,
        plan: world.plan.map(|plan| PlanFacts {
            id: String::new(),
            uid: String::new(),
            ours: true,
            fits: plan.version == world.version,
            state: match plan.state {
                PlanState::Running => State::Running,
                PlanState::Done => State::Done,
                PlanState::Failed => State::Failed(String::new()),
            },
            controllers: plan.state != PlanState::Done,
        }),
        controllers: controllers.collect(),
    }
}

/// Decides and leaves the writes to be made, in the order in which they are made.
pub fn pass(world: &mut World, sight: Sight) {
    let Step::Live(live) = decide(&observe(world, sight)) else {
        return;
    };
    let mut writes = Vec::new();
    if live.persist_existence {
        writes.push(Write::Exists);
    }
    if live.confirm {
        writes.push(Write::Confirm);
    }
    if let Change::Create { name, founds } = &live.membership {
        let id = id(name);
        if world.begun.is_none() {
            writes.push(Write::Begin { id });
        }
        writes.push(Write::Machine { id, founds: *founds });
    }
    let recorded = live.updates.recorded.iter().map(|name| Write::Record {
        id: id(name),
        version: world.version,
    });
    writes.extend(recorded);
    match &live.updates.update {
        Update::Begin { .. } => writes.push(Write::Plan {
            version: world.version,
        }),
        Update::Remove { .. } => writes.push(Write::RemovePlan),
        Update::None | Update::Look | Update::Wait { .. } | Update::Failed { .. } => {}
    }
    writes.extend(live.forget.iter().map(|name| Write::Forget { id: id(name) }));
    match &live.membership {
        Change::Leave { name } => writes.push(Write::Leave { id: id(name) }),
        Change::Delete { name, .. } => writes.push(Write::Delete { id: id(name) }),
        Change::Create { .. } | Change::Steady | Change::Wait(_) => {}
    }
    writes.extend(live.release.iter().map(|name| Write::Release { id: id(name) }));
    if matches!(live.membership, Change::Create { .. }) {
        writes.push(Write::Confirm);
    }
    if writes.is_empty() {
        return;
    }
    writes.reverse();
    world.pending = writes;
    world.read = Read {
        voters: world.voters(),
        healthy: world.steady(),
        replicas: world.replicas,
        changing: world.changing(),
    };
}

impl Model for Membership {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let sizes = self.bounds.sizes.iter();
        if self.bounds.in_place {
            return sizes.map(|size| World::settled(*size, &self.bounds)).collect();
        }
        sizes
            .flat_map(|size| [false, true].map(|first| World::new(*size, first, &self.bounds)))
            .collect()
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        if world.violation.is_some() {
            return;
        }
        if world.pending.is_empty() {
            events.extend([
                Event::Pass(Sight::Clear),
                Event::Pass(Sight::Stale),
                Event::Pass(Sight::None),
            ]);
        } else {
            events.extend([Event::Write, Event::Crash]);
        }
        for id in world.ids() {
            let host = world.host(id);
            events.extend([
                Event::Start(id),
                Event::Join(id),
                Event::Promote(id),
                Event::Publish(id),
                Event::Leave(id),
                Event::Finish(id),
            ]);
            if world.in_place {
                events.extend([Event::Signal(id), Event::Stop(id), Event::ComeBack(id)]);
            }
            if world.pending.is_empty() && host.object == Object::Joined {
                events.push(Event::Pass(Sight::Without(id)));
            }
            if host.power == Power::Cut {
                events.push(Event::Heal(id));
            }
            let unflagged = host.machine.is_some_and(|machine| !machine.flagged);
            if unflagged && (host.power == Power::Dead || world.faults > 0) {
                events.push(Event::Flag(id));
            }
            if world.faults > 0 {
                if matches!(host.power, Power::Up | Power::Down) {
                    events.extend([Event::Kill(id), Event::Cut(id)]);
                }
                if host.machine.is_some_and(|machine| !machine.deleting) {
                    events.push(Event::UserDeletes(id));
                }
            }
        }
        if world.plan_runs() {
            events.push(Event::Complete);
        }
        if world.edits > 0 {
            events.extend(self.bounds.sizes.iter().map(|size| Event::Scale(*size)));
            events.push(Event::Upgrade);
        }
    }

    fn next_state(&self, before: &World, event: Event) -> Option<World> {
        let mut world = before.clone();
        match event {
            Event::Pass(sight) => pass(&mut world, sight),
            Event::Write => world.write(),
            Event::Crash => {
                world.pending.clear();
                world.read = Read::default();
            }
            Event::Start(id) => _ = world.start(id),
            Event::Join(id) => _ = world.join(id),
            Event::Promote(id) => _ = world.promote(id),
            Event::Publish(id) => _ = world.publish(id),
            Event::Leave(id) => _ = world.leave(id),
            Event::Finish(id) => _ = world.finish(id),
            Event::Signal(id) => _ = world.signal(id),
            Event::Stop(id) => _ = world.stop(id),
            Event::ComeBack(id) => _ = world.come_back(id),
            Event::Complete => _ = world.complete(),
            Event::Heal(id) => world.host_mut(id).power = Power::Up,
            Event::Kill(id) => {
                world.host_mut(id).power = Power::Dead;
                world.faults -= 1;
            }
            Event::Cut(id) => {
                world.host_mut(id).power = Power::Cut;
                world.faults -= 1;
            }
            Event::UserDeletes(id) => {
                world.host_mut(id).machine.as_mut()?.deleting = true;
                world.faults -= 1;
            }
            Event::Flag(id) => {
                let dead = world.host(id).power == Power::Dead;
                world.host_mut(id).machine.as_mut()?.flagged = true;
                world.faults -= u8::from(!dead);
            }
            Event::Scale(size) => {
                world.replicas = size;
                world.edits -= 1;
            }
            Event::Upgrade => {
                world.version += 1;
                world.edits -= 1;
            }
        }
        (world != *before).then_some(world)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.sequence <= self.bounds.machines
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(
                "no removal costs the quorum, no second cluster, no Machine too many, no change beside a Plan",
                |_: &Self, world: &World| world.violation.is_none(),
            ),
            Property::always(
                "without further faults the spec is reached",
                |model: &Self, world: &World| {
                    world.violation.is_some() || model.future.reaches_the_spec(world)
                },
            ),
        ];
        // What the model is to cover; a property that nothing reaches proves nothing.
        properties.extend(match self.bounds.in_place {
            true => updates(),
            false => memberships(),
        });
        properties
    }
}

fn updates() -> Vec<Property<Membership>> {
    vec![
        Property::sometimes(
            "three controllers updated in place",
            |_: &Membership, world: &World| {
                let done =
                    |host: &Host| host.machine.is_some_and(|machine| machine.version > 0) && host.runs > 0;
                world.hosts.iter().filter(|host| done(host)).count() == 3
            },
        ),
        Property::sometimes(
            "a controller dies while another is updated",
            |_: &Membership, world: &World| {
                world.hosts.iter().any(|host| host.updating.is_some())
                    && world.hosts.iter().any(|host| host.power == Power::Dead)
            },
        ),
        Property::sometimes("a Plan fails", |_: &Membership, world: &World| {
            world.plan.is_some_and(|plan| plan.state == PlanState::Failed)
        }),
    ]
}

fn memberships() -> Vec<Property<Membership>> {
    vec![
        Property::sometimes("three voters", |_: &Membership, world: &World| {
            world.voters().count_ones() == 3
        }),
        Property::sometimes("a member leaves", |_: &Membership, world: &World| {
            world.hosts.iter().any(|host| host.object == Object::Left)
        }),
        Property::sometimes(
            "a learner beside a dead voter",
            |_: &Membership, world: &World| {
                let has = |part, power| {
                    world
                        .hosts
                        .iter()
                        .any(|host| host.part == part && host.power == power)
                };
                has(Part::Learner, Power::Up) && has(Part::Voter, Power::Dead) && world.serves()
            },
        ),
    ]
}
