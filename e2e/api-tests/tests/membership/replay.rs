//! Does with etcd what has happened in a history, and holds the model to what etcd then says.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::sleep;

use crate::{
    etcd::{Etcd, Listed},
    history::History,
    world::{Host, Part, Power, World},
};

/// An election takes a second or two; a name that a member gives itself comes after that.
const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);
const PREFIX: &str = "write-";

/// What came of a replay.
#[derive(Debug, Default)]
pub struct Replayed {
    pub changes: usize,
    pub acknowledged: usize,
    /// How often etcd refused what the model says it refuses.
    pub refused: usize,
}

pub async fn replay(history: &History) -> Result<Replayed> {
    let mut replay = Replay {
        etcd: Etcd::new().await?,
        acknowledged: BTreeSet::new(),
        replayed: Replayed::default(),
    };
    let mut worlds = history.worlds.iter();
    let mut before = worlds.next().context("no history")?;
    let settled: Vec<_> = voters(before).collect();
    if !settled.is_empty() {
        replay.etcd.found(&settled).await?;
    }
    for after in worlds {
        let step = async {
            replay.follow(before, after).await?;
            replay.check(after).await
        };
        if let Err(error) = step.await {
            let logs = replay.etcd.logs();
            return Err(error.context(format!("from {before:#?}\nto {after:#?}\n{logs}")));
        }
        replay.replayed.changes += 1;
        before = after;
    }
    replay.replayed.acknowledged = replay.acknowledged.len();
    Ok(replay.replayed)
}

struct Replay {
    etcd: Etcd,
    acknowledged: BTreeSet<String>,
    replayed: Replayed,
}

impl Replay {
    async fn follow(&mut self, before: &World, after: &World) -> Result<()> {
        for id in ids(after) {
            let (was, is) = (before.host(id), after.host(id));
            self.follow_part(id, was, is, after).await?;
            self.follow_power(id, was, is).await?;
        }
        Ok(())
    }

    async fn follow_part(&mut self, id: u8, was: &Host, is: &Host, after: &World) -> Result<()> {
        // Through somebody else: who joins cannot be asked yet, and who leaves not any more.
        let other = || {
            healthy(after)
                .find(|other| *other != id)
                .context("nobody can be asked")
        };
        match (was.part, is.part) {
            (Part::None, Part::Voter) => self.etcd.found(&[id]).await,
            (Part::None, Part::Learner) => self.etcd.join(id, other()?).await,
            (Part::Learner, Part::Voter) => self.etcd.promote(id, other()?).await,
            (Part::Learner | Part::Voter, Part::None) if ids(after).any(|id| is_member(after, id)) => {
                self.etcd.remove(id, other()?).await
            }
            (Part::Learner | Part::Voter, Part::None) => {
                self.etcd.wipe();
                self.acknowledged.clear();
                Ok(())
            }
            (Part::Voter, Part::Learner) => bail!("a voter became a learner"),
            _ => Ok(()),
        }
    }

    async fn follow_power(&mut self, id: u8, was: &Host, is: &Host) -> Result<()> {
        if is.part == Part::None {
            return Ok(());
        }
        match (was.power, is.power) {
            (Power::Up | Power::Cut | Power::Down, Power::Dead) => self.etcd.kill(id),
            (Power::Up, Power::Cut) => self.etcd.freeze(id),
            (Power::Cut, Power::Up) => self.etcd.thaw(id).await,
            (Power::Up, Power::Down) => self.etcd.stop(id),
            (Power::Down, Power::Up) => self.etcd.start(id),
            _ => Ok(()),
        }
    }

    /// What is to be so of etcd in this world.
    async fn check(&mut self, world: &World) -> Result<()> {
        if !world.serves() {
            let key = format!("{PREFIX}never-{}", self.replayed.changes);
            for voter in healthy(world) {
                ensure!(!self.etcd.put(voter, &key).await, "a write without a quorum");
            }
            return Ok(());
        }
        self.write(world).await?;
        for voter in healthy(world) {
            self.until_it_knows_all(voter, world).await?;
        }
        self.check_refusals(world).await
    }

    async fn write(&mut self, world: &World) -> Result<()> {
        let begun = Instant::now();
        loop {
            for voter in healthy(world) {
                let key = format!("{PREFIX}{:06}", self.acknowledged.len());
                if self.etcd.put(voter, &key).await {
                    self.acknowledged.insert(key);
                    return Ok(());
                }
            }
            ensure!(begun.elapsed() < LIMIT, "no write with a quorum of voters");
            sleep(PAUSE).await;
        }
    }

    /// Every write that was acknowledged, and the members as the model has them.
    async fn until_it_knows_all(&self, voter: u8, world: &World) -> Result<()> {
        let begun = Instant::now();
        let members: Vec<Listed> = ids(world)
            .filter(|id| is_member(world, *id))
            .map(|id| (id, world.host(id).part == Part::Learner))
            .collect();
        loop {
            let (keys, listed) = (self.etcd.keys(voter, PREFIX).await, self.etcd.list(voter).await);
            if let (Ok(keys), Ok(listed)) = (&keys, &listed)
                && *listed == members
            {
                let lost: Vec<_> = self.acknowledged.difference(keys).collect();
                ensure!(lost.is_empty(), "acknowledged and lost: {lost:?}");
                return Ok(());
            }
            ensure!(
                begun.elapsed() < LIMIT,
                "m{voter} tells of {listed:?}, not of {members:?}; and keys {keys:?}"
            );
            sleep(PAUSE).await;
        }
    }

    /// What the model says that etcd does not let happen.
    async fn check_refusals(&mut self, world: &World) -> Result<()> {
        if ids(world).any(|id| is_member(world, id) && world.host(id).power == Power::Cut) {
            // etcd itself needs seconds to notice, and may let happen until then what it should not.
            return Ok(());
        }
        let Some(voter) = healthy(world).next() else {
            return Ok(());
        };
        if !world.takes_learner() {
            self.etcd.refuses_learner(voter).await?;
            self.replayed.refused += 1;
        }
        for id in healthy(world) {
            if !world.keeps_quorum_without(id) {
                let other = healthy(world).find(|other| *other != id).unwrap_or(id);
                self.etcd.refuses_removal(id, other).await?;
                self.replayed.refused += 1;
            }
        }
        Ok(())
    }
}

fn ids(world: &World) -> impl Iterator<Item = u8> + use<> {
    1..=world.hosts.len() as u8
}

fn is_member(world: &World, id: u8) -> bool {
    world.host(id).part != Part::None
}

fn voters(world: &World) -> impl Iterator<Item = u8> + '_ {
    ids(world).filter(|id| world.host(*id).part == Part::Voter)
}

fn healthy(world: &World) -> impl Iterator<Item = u8> + '_ {
    voters(world).filter(|id| world.host(*id).power == Power::Up)
}
