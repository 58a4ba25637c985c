//! The conditions that a control plane keeps on its Machines: UpToDate (contract C17) and EtcdMemberHealthy. Pure.

use k0smotron_api::{
    capi::Machine,
    names::conditions::{reasons, types},
};
use k0smotron_runtime::conditions::Conditions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::{
    etcd_health,
    fetch::Inputs,
    observed::{MachineFacts, Observed},
};

/// All of them. They are applied together: what an apply leaves out, the API server takes away.
const KEPT: [&str; 2] = [types::UP_TO_DATE, types::ETCD_MEMBER_HEALTHY];

/// The conditions of Machines that do not have them as they should, by name of the Machine.
pub fn kept(inputs: &Inputs, observed: &Observed) -> Vec<(String, Vec<Condition>)> {
    inputs
        .staying()
        .filter_map(|machine| {
            let name = machine.name_any();
            let facts = observed.machines.iter().find(|facts| facts.name == name)?;
            let wanted = wanted(machine, facts, observed);
            let changed = wanted
                .iter()
                .any(|condition| machine.condition(&condition.type_) != Some(condition));
            changed.then_some((name, wanted))
        })
        .collect()
}

fn wanted(machine: &Machine, facts: &MachineFacts, observed: &Observed) -> Vec<Condition> {
    let mut conditions = Conditions::of(machine.conditions(), machine.metadata.generation);
    if facts.outdated.is_empty() {
        conditions.set_true(types::UP_TO_DATE, reasons::UP_TO_DATE, "");
    } else {
        let lines: Vec<_> = facts
            .outdated
            .iter()
            .map(|difference| format!("* {difference}"))
            .collect();
        conditions.set_false(types::UP_TO_DATE, reasons::NOT_UP_TO_DATE, lines.join("\n"));
    }
    etcd_health::say_of(&facts.name, observed, &mut conditions);
    let kept = KEPT.iter().filter_map(|type_| conditions.get(type_).cloned());
    kept.collect()
}
