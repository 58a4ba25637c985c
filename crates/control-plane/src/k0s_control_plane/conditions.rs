//! The condition UpToDate of control plane Machines, which their control plane keeps (contract C17). Pure.

use k0smotron_api::{
    capi::Machine,
    names::conditions::{reasons, types},
};
use k0smotron_runtime::conditions::Conditions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::{fetch::Inputs, observed::Observed};

/// The conditions that Machines do not have as they should, by name of the Machine.
pub fn up_to_date(inputs: &Inputs, observed: &Observed) -> Vec<(String, Condition)> {
    let staying = inputs.machines.iter().filter(|machine| !machine.is_deleting());
    staying
        .filter_map(|machine| {
            let name = machine.name_any();
            let facts = observed.machines.iter().find(|facts| facts.name == name)?;
            let wanted = wanted(machine, &facts.outdated)?;
            (machine.condition(types::UP_TO_DATE) != Some(&wanted)).then_some((name, wanted))
        })
        .collect()
}

fn wanted(machine: &Machine, outdated: &[String]) -> Option<Condition> {
    let mut conditions = Conditions::of(machine.conditions(), machine.metadata.generation);
    if outdated.is_empty() {
        conditions.set_true(types::UP_TO_DATE, reasons::UP_TO_DATE, "");
    } else {
        let lines: Vec<_> = outdated
            .iter()
            .map(|difference| format!("* {difference}"))
            .collect();
        conditions.set_false(types::UP_TO_DATE, reasons::NOT_UP_TO_DATE, lines.join("\n"));
    }
    conditions.get(types::UP_TO_DATE).cloned()
}
