//! What can go wrong with a machine besides losing it ([`Machine::stop`]), power ([`Machine::power_off`]) or its wits
//! ([`Machine::freeze`]): a process that dies, and a network that is away.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::command::run;
use crate::machine::Machine;
use crate::{cgroup, network};

impl Machine {
    /// Kills every process of the machine whose program has this name (`etcd`, `kube-apiserver`, `k0s`), as
    /// `kill -9` does, and returns how many there were.
    ///
    /// # Errors
    /// There is none, which would make a test of its loss pass for nothing.
    pub async fn kill(&self, program: &str) -> Result<usize> {
        let processes = self.processes(program)?;
        ensure!(
            !processes.is_empty(),
            "no {program} runs on machine {}",
            self.name()
        );
        for process in &processes {
            // Gone in the meantime is fine.
            let _ = run("kill", &["-KILL", process]).await;
        }
        Ok(processes.len())
    }

    /// Process ids, as the host counts, of the machine's processes of this program.
    ///
    /// # Errors
    /// The cgroups cannot be read.
    pub fn processes(&self, program: &str) -> Result<Vec<String>> {
        let all = cgroup::processes_of(self.place())?;
        Ok(all.into_iter().filter(|process| runs(process, program)).collect())
    }

    /// Cuts the machine off: what it sends and what is sent to it vanishes. Connections neither answer nor break.
    ///
    /// # Errors
    /// The machine was stopped.
    pub async fn cut(&self) -> Result<()> {
        let port = self.port();
        run("ip", &["link", "set", &port, "nomaster"])
            .await
            .with_context(|| format!("cannot cut off machine {}", self.name()))?;
        Ok(())
    }

    /// Connects a machine again that was cut off.
    ///
    /// # Errors
    /// The machine was stopped.
    pub async fn mend(&self) -> Result<()> {
        network::connect(&self.port(), self.place().instance)
            .await
            .with_context(|| format!("cannot connect machine {}", self.name()))
    }

    pub(crate) fn port(&self) -> String {
        network::port(self.place().instance, self.index())
    }
}

/// By the command line: the kernel's short name of a process ends after 15 characters.
fn runs(process: &str, program: &str) -> bool {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = Path::new(std::str::from_utf8(first).unwrap_or_default()).file_name();
    name.is_some_and(|name| name == program)
}
