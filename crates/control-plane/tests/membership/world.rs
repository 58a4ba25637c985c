//! The world that the decisions are made in, as small as can be: hosts, the etcd on them, Machines, the spec.

/// Machines that one history may make, its future among it.
pub const MOST: usize = 16;

/// How far the exploration goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Things that go wrong in one history: hosts that die or are cut off, Machines that users delete.
    pub faults: u8,
    /// Edits of the spec in one history.
    pub edits: u8,
    /// Numbers of replicas that the spec may have.
    pub sizes: &'static [u8],
    /// Machines made in one history.
    pub machines: u8,
    /// Versions change in place, by Plans, of clusters that are there from the beginning.
    pub in_place: bool,
}

/// A host's k0s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Power {
    #[default]
    Off,
    Up,
    /// Runs, and nobody reaches it.
    Cut,
    /// k0s restarts, for an update.
    Down,
    Dead,
}

/// What a host is to etcd, in truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Part {
    #[default]
    None,
    Learner,
    Voter,
}

/// The EtcdMember of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Object {
    #[default]
    None,
    Joined,
    /// Asked to leave.
    Leaving,
    Left,
}

/// A Machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    pub version: u8,
    pub founds: bool,
    pub deleting: bool,
    pub hooked: bool,
    /// It has bootstrap data.
    pub started: bool,
    /// Somebody asks that it be replaced.
    pub flagged: bool,
}

/// A host, its Machine, and what etcd has of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Host {
    pub machine: Option<Machine>,
    pub power: Power,
    pub part: Part,
    pub object: Object,
    /// Version of its k0s, where that changes in place.
    pub runs: u8,
    /// Version that its k0s was told to change to, and has not come back with yet.
    pub updating: Option<u8>,
}

/// A Plan of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    pub version: u8,
    pub state: PlanState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlanState {
    Running,
    Done,
    Failed,
}

/// One write of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    Exists,
    Plan { version: u8 },
    RemovePlan,
    Record { id: u8, version: u8 },
    Begin { id: u8 },
    Machine { id: u8, founds: bool },
    Leave { id: u8 },
    Forget { id: u8 },
    Delete { id: u8 },
    Release { id: u8 },
    Confirm,
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    QuorumLost,
    TwoClusters,
    TooManyMachines,
    /// A change of membership beside a Plan that runs.
    Overlap,
}

/// What the pass in progress has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Read {
    /// Voters, and those of them that were healthy, in truth; a bit each.
    pub voters: u16,
    pub healthy: u16,
    pub replicas: u8,
    /// A change of membership was under way.
    pub changing: bool,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub delete_first: bool,
    pub in_place: bool,
    pub plan: Option<Plan>,
    pub replicas: u8,
    /// Version asked for. Of odd ones no host ever joins.
    pub version: u8,
    /// The mark that the cluster exists.
    pub exists: bool,
    pub sequence: u8,
    pub begun: Option<u8>,
    pub hosts: [Host; MOST],
    /// What the operator has decided and not written yet, last first.
    pub pending: Vec<Write>,
    pub read: Read,
    pub faults: u8,
    pub edits: u8,
    pub violation: Option<Violation>,
}

/// Whether hosts of this version can never join.
pub fn broken(version: u8) -> bool {
    version % 2 == 1
}

fn quorum(voters: u32) -> u32 {
    voters / 2 + 1
}

fn bit(id: u8) -> u16 {
    1 << (id - 1)
}

impl World {
    pub fn new(replicas: u8, delete_first: bool, bounds: &Bounds) -> Self {
        Self {
            delete_first,
            in_place: bounds.in_place,
            plan: None,
            replicas,
            version: 0,
            exists: false,
            sequence: 0,
            begun: None,
            hosts: [Host::default(); MOST],
            pending: Vec::new(),
            read: Read::default(),
            faults: bounds.faults,
            edits: bounds.edits,
            violation: None,
        }
    }

    pub fn ids(&self) -> impl Iterator<Item = u8> + use<> {
        1..=self.sequence.min(MOST as u8)
    }

    pub fn host(&self, id: u8) -> &Host {
        &self.hosts[usize::from(id) - 1]
    }

    pub fn host_mut(&mut self, id: u8) -> &mut Host {
        &mut self.hosts[usize::from(id) - 1]
    }

    fn mask(&self, of: impl Fn(&Host) -> bool) -> u16 {
        let bits = (1..).zip(&self.hosts).filter(|(_, host)| of(host));
        bits.fold(0, |mask, (id, _)| mask | bit(id))
    }

    pub fn voters(&self) -> u16 {
        self.mask(|host| host.part == Part::Voter)
    }

    pub fn healthy(&self) -> u16 {
        self.mask(|host| host.part == Part::Voter && host.power == Power::Up)
    }

    /// Healthy ones that k0s is not about to restart.
    pub fn steady(&self) -> u16 {
        self.healthy() & self.mask(|host| host.updating.is_none())
    }

    /// Whether etcd answers.
    pub fn serves(&self) -> bool {
        let voters = self.voters().count_ones();
        voters > 0 && self.healthy().count_ones() >= quorum(voters)
    }

    /// Whether etcd would answer if nobody were cut off.
    pub fn can_serve(&self) -> bool {
        let alive =
            self.mask(|host| host.part == Part::Voter && !matches!(host.power, Power::Dead | Power::Off));
        let voters = self.voters().count_ones();
        voters > 0 && alive.count_ones() >= quorum(voters)
    }

    pub fn machines(&self) -> usize {
        self.hosts.iter().filter(|host| host.machine.is_some()).count()
    }

    /// Whether a Machine that is no member never will be one: what the operator concludes from the time that has gone
    /// by since it was started.
    pub fn stalled(&self, id: u8) -> bool {
        let host = self.host(id);
        let machine = host.machine.filter(|machine| machine.started);
        machine.is_some_and(|machine| match host.power {
            Power::Dead => host.part != Part::Voter,
            Power::Off => broken(machine.version),
            Power::Up | Power::Cut | Power::Down => false,
        })
    }

    /// Makes the next write of the pass.
    pub fn write(&mut self) {
        let Some(write) = self.pending.pop() else { return };
        let changes = matches!(
            write,
            Write::Machine { .. } | Write::Leave { .. } | Write::Delete { .. }
        );
        if changes && self.plan_runs() || matches!(write, Write::Plan { .. }) && self.read.changing {
            self.violation = Some(Violation::Overlap);
        }
        match write {
            Write::Plan { version } => {
                let state = PlanState::Running;
                self.plan.get_or_insert(Plan { version, state });
            }
            Write::RemovePlan => self.plan = None,
            Write::Record { id, version } => {
                if let Some(machine) = &mut self.host_mut(id).machine {
                    machine.version = version;
                }
            }
            Write::Exists => self.exists = true,
            Write::Begin { id } => {
                self.sequence = self.sequence.max(id);
                self.begun = Some(id);
            }
            Write::Machine { id, founds } => self.create(id, founds),
            Write::Leave { id } => {
                let voters = self.voters() & !bit(id);
                self.check_removal(id, voters.count_ones());
                let host = self.host_mut(id);
                if host.object == Object::Joined {
                    host.object = Object::Leaving;
                }
            }
            Write::Forget { id } => self.host_mut(id).object = Object::None,
            Write::Delete { id } => {
                if let Some(machine) = &mut self.host_mut(id).machine {
                    machine.deleting = true;
                }
            }
            Write::Release { id } => {
                let mut voters = self.voters().count_ones();
                match (self.host(id).part, self.host(id).power) {
                    // It may be promoted at any moment, and its vote is lost then.
                    (Part::Learner, Power::Up | Power::Cut) => voters += 1,
                    (Part::Voter, _) => {}
                    (Part::Learner | Part::None, _) => voters = 0,
                }
                if voters > 0 && self.exists {
                    self.check_removal(id, voters);
                }
                if let Some(machine) = &mut self.host_mut(id).machine {
                    machine.hooked = false;
                }
            }
            Write::Confirm => self.begun = None,
        }
        if self.pending.is_empty() {
            self.read = Read::default();
        }
    }

    /// Health is what was so when the pass read: what dies afterwards nobody can foresee. Who has become a voter since
    /// counts as it is.
    fn check_removal(&mut self, id: u8, voters: u32) {
        let new = self.healthy() & !self.read.voters;
        let left = (self.read.healthy | new) & self.voters() & !bit(id);
        if left.count_ones() < quorum(voters) {
            self.violation = Some(Violation::QuorumLost);
        }
    }

    fn create(&mut self, id: u8, founds: bool) {
        if self.host(id).machine.is_none() {
            if self.machines() > usize::from(self.read.replicas) {
                self.violation = Some(Violation::TooManyMachines);
            }
            if founds && self.exists {
                self.violation = Some(Violation::TwoClusters);
            }
            let version = self.version;
            *self.host_mut(id) = Host {
                machine: Some(Machine {
                    version,
                    founds,
                    deleting: false,
                    hooked: true,
                    started: false,
                    flagged: false,
                }),
                ..Host::default()
            };
        }
    }

    /// The Machine gets its bootstrap data: that of a joiner needs a cluster that answers.
    pub fn start(&mut self, id: u8) -> bool {
        let serves = self.serves();
        match &mut self.host_mut(id).machine {
            Some(machine) if !machine.started && !machine.deleting && (machine.founds || serves) => {
                machine.started = true;
                true
            }
            _ => false,
        }
    }

    /// Whether etcd lets a learner in: one at a time, and only with a quorum that would be one even if the newcomer were a
    /// voter that is down. A single member may always get company (`mayAddMember` of etcd v3.6).
    pub fn takes_learner(&self) -> bool {
        let voters = self.voters().count_ones();
        let stays_safe = voters == 1 || self.healthy().count_ones() >= quorum(voters + 1);
        self.serves() && stays_safe && !self.hosts.iter().any(|host| host.part == Part::Learner)
    }

    /// Whether etcd lets this voter go (`mayRemoveMember` of etcd v3.6).
    pub fn keeps_quorum_without(&self, id: u8) -> bool {
        let rest = !bit(id);
        let voters = (self.voters() & rest).count_ones();
        (self.healthy() & rest).count_ones() >= quorum(voters)
    }

    /// k0s comes up on the host: as the only voter of a new cluster, or as a learner, of which etcd takes one at a time.
    pub fn join(&mut self, id: u8) -> bool {
        let Host {
            machine: Some(machine),
            power: Power::Off,
            object: Object::None,
            ..
        } = *self.host(id)
        else {
            return false;
        };
        if !machine.started || broken(machine.version) {
            return false;
        }
        let part = if machine.founds {
            if self.hosts.iter().any(|host| host.part != Part::None) {
                self.violation = Some(Violation::TwoClusters);
            }
            Part::Voter
        } else {
            if !self.takes_learner() {
                return false;
            }
            Part::Learner
        };
        let runs = if self.in_place { machine.version } else { 0 };
        let host = self.host_mut(id);
        (host.power, host.part, host.runs) = (Power::Up, part, runs);
        true
    }

    /// k0s makes a learner a voter.
    pub fn promote(&mut self, id: u8) -> bool {
        let may = self.serves() && self.host(id).part == Part::Learner && self.host(id).power == Power::Up;
        if may {
            self.host_mut(id).part = Part::Voter;
        }
        may
    }

    /// A voter's k0s writes its EtcdMember.
    pub fn publish(&mut self, id: u8) -> bool {
        let host = self.host(id);
        let may =
            self.serves() && (host.part, host.power, host.object) == (Part::Voter, Power::Up, Object::None);
        if may {
            self.host_mut(id).object = Object::Joined;
        }
        may
    }

    /// k0s takes a member out that was asked to leave; etcd refuses where too few healthy ones would be left.
    pub fn leave(&mut self, id: u8) -> bool {
        let may = self.host(id).object == Object::Leaving && self.serves() && self.keeps_quorum_without(id);
        if may {
            let host = self.host_mut(id);
            (host.part, host.object, host.power) = (Part::None, Object::Left, Power::Off);
            host.updating = None;
        }
        may
    }

    /// Cluster API finishes a Machine that nothing holds: the host is wiped, or destroyed if it cannot be reached.
    pub fn finish(&mut self, id: u8) -> bool {
        let host = self.host_mut(id);
        if !host
            .machine
            .is_some_and(|machine| machine.deleting && !machine.hooked)
        {
            return false;
        }
        let leaves = matches!(host.power, Power::Up | Power::Cut) && host.part == Part::Learner;
        host.machine = None;
        host.power = match host.part {
            Part::None => Power::Off,
            _ if leaves => Power::Off,
            Part::Learner | Part::Voter => Power::Dead,
        };
        host.updating = host.updating.filter(|_| host.power == Power::Dead);
        if leaves {
            host.part = Part::None;
        }
        // A cluster that nobody knew of goes with its only host.
        if !self.exists && self.machines() == 0 {
            for host in &mut self.hosts {
                (host.part, host.object, host.power) = (Part::None, Object::None, Power::Off);
            }
        }
        true
    }
}
