//! Updates in place in the model's world: what k0s does with a Plan.

use crate::world::{Bounds, Host, Machine, Object, Part, Plan, PlanState, Power, World, broken};

impl World {
    /// A cluster of so many controllers that is there, all as asked for.
    pub fn settled(replicas: u8, bounds: &Bounds) -> Self {
        let mut world = Self::new(replicas, false, bounds);
        (world.exists, world.sequence) = (true, replicas);
        for id in world.ids() {
            *world.host_mut(id) = Host {
                machine: Some(Machine {
                    version: 0,
                    founds: id == 1,
                    deleting: false,
                    hooked: true,
                    started: true,
                    flagged: false,
                }),
                power: Power::Up,
                part: Part::Voter,
                object: Object::Joined,
                runs: 0,
                updating: None,
            };
        }
        world
    }

    pub fn plan_runs(&self) -> bool {
        self.plan.is_some_and(|plan| plan.state == PlanState::Running)
    }

    /// A Machine is on its way in or out.
    pub fn changing(&self) -> bool {
        self.hosts.iter().any(|host| {
            host.machine
                .is_some_and(|machine| machine.deleting || host.part != Part::Voter)
                || matches!(host.part, Part::Learner)
                || host.object == Object::Leaving
        })
    }

    /// k0s tells the next controller to update itself: one at a time, and only while all are ready. Of a broken version
    /// there is nothing to download.
    pub fn signal(&mut self, id: u8) -> bool {
        let Some(Plan {
            version,
            state: PlanState::Running,
        }) = self.plan
        else {
            return false;
        };
        let ready =
            |host: &Host| host.object != Object::Joined || host.power == Power::Up && host.updating.is_none();
        let host = self.host(id);
        let may = host.object == Object::Joined
            && host.runs != version
            && self.serves()
            && self.hosts.iter().all(ready);
        if may && broken(version) {
            self.plan = Some(Plan {
                version,
                state: PlanState::Failed,
            });
        } else if may {
            self.host_mut(id).updating = Some(version);
        }
        may
    }

    /// A controller that is to be updated stops.
    pub fn stop(&mut self, id: u8) -> bool {
        let host = self.host_mut(id);
        let may = host.updating.is_some() && host.power == Power::Up;
        if may {
            host.power = Power::Down;
        }
        may
    }

    /// And is back, as another version.
    pub fn come_back(&mut self, id: u8) -> bool {
        let host = self.host_mut(id);
        let may = host.power == Power::Down;
        if may {
            host.power = Power::Up;
            host.runs = host.updating.take().unwrap_or(host.runs);
        }
        may
    }

    /// k0s says that the Plan is completed.
    pub fn complete(&mut self) -> bool {
        let Some(plan) = self.plan.filter(|plan| plan.state == PlanState::Running) else {
            return false;
        };
        let done = |host: &Host| {
            host.object != Object::Joined || host.runs == plan.version && host.updating.is_none()
        };
        let may = self.serves() && self.hosts.iter().all(done);
        if may {
            self.plan = Some(Plan {
                state: PlanState::Done,
                ..plan
            });
        }
        may
    }
}
