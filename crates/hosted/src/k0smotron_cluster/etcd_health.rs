//! How a control plane's etcd is, in words. Pure.

use k0smotron_api::names::{
    conditions::{reasons, types},
    hosted::reasons as hosted_reasons,
};
use k0smotron_runtime::conditions::Conditions;

use super::{
    fetch::Inputs,
    hindrances::hindrances,
    membership::{Plan, Step as Change, Wait, Why},
    observed::Observed,
    probe::Survey,
};

/// Why a member is changed, in words.
pub fn why(why: Why) -> &'static str {
    match why {
        Why::Excess => "there are more than asked for",
        Why::DataLost => "it has lost its data",
        Why::Outdated => "it is not as the spec asks for",
        Why::Joins => "it may join now",
    }
}

/// Says how the members are.
pub fn say(inputs: &Inputs, observed: &Observed, plan: Option<&Plan>, conditions: &mut Conditions) {
    let type_ = types::ETCD_CLUSTER_HEALTHY;
    let Some(plan) = plan else {
        let message = "the members look after themselves, as an earlier release made them";
        match observed.etcd.exists && observed.etcd.ready >= observed.etcd.replicas {
            true => conditions.set_true(type_, hosted_reasons::MEMBERS_HEALTHY, message),
            false => conditions.set_unknown(type_, reasons::AVAILABLE_UNKNOWN, message),
        }
        return;
    };
    let names = &inputs.names;
    let changing = |message: String, conditions: &mut Conditions| {
        conditions.set_false(type_, hosted_reasons::MEMBERS_CHANGING, message);
    };
    match &plan.step {
        Change::Steady => conditions.set_true(type_, hosted_reasons::MEMBERS_HEALTHY, ""),
        Change::Wait(Wait::Quorum { healthy, voters }) => {
            let mut lines = vec![format!(
                "{healthy} of {voters} members of etcd are well, and nothing is changed without a majority. Bring their pods \
                 back: each needs its node and its claim. A member whose claim is lost is replaced once a majority is back; \
                 if none can come back, restore a snapshot into a new control plane"
            )];
            lines.extend(hindrances(inputs));
            conditions.set_false(type_, hosted_reasons::QUORUM_LOST, lines.join("\n"));
        }
        Change::Wait(Wait::Answer) => {
            let message = match &inputs.survey {
                Some(Survey::Silent(reason)) => format!("etcd does not answer: {reason}"),
                _ => "etcd was not asked yet".to_owned(),
            };
            conditions.set_unknown(type_, reasons::INSPECTION_FAILED, message);
        }
        Change::Wait(Wait::First) => {
            let mut lines = vec!["the first member does not answer yet".to_owned()];
            lines.extend(hindrances(inputs));
            changing(lines.join("\n"), conditions);
        }
        Change::Wait(Wait::Place(ordinal) | Wait::Start(ordinal)) => {
            let mut lines = vec![format!("member {} is to join", names.etcd_pod(*ordinal))];
            lines.extend(hindrances(inputs));
            changing(lines.join("\n"), conditions);
        }
        Change::Wait(Wait::Pod(ordinal)) => {
            changing(
                format!("Pod {} is to come back", names.etcd_pod(*ordinal)),
                conditions,
            );
        }
        Change::Founded => changing("the first member answers".to_owned(), conditions),
        Change::Add(ordinal) => changing(
            format!("member {} is added", names.etcd_pod(*ordinal)),
            conditions,
        ),
        Change::Promote { ordinal, .. } => {
            let name = ordinal.map(|ordinal| names.etcd_pod(ordinal)).unwrap_or_default();
            changing(format!("member {name} catches up before it may vote"), conditions);
        }
        Change::Remove {
            ordinal, why: cause, ..
        } => {
            let name = ordinal.map(|ordinal| names.etcd_pod(ordinal)).unwrap_or_default();
            changing(format!("member {name} is taken out: {}", why(*cause)), conditions);
        }
        Change::Restart { ordinal, why: cause } => {
            let name = names.etcd_pod(*ordinal);
            changing(format!("Pod {name} starts anew: {}", why(*cause)), conditions);
        }
        Change::Discard(ordinal) => changing(
            format!("claim {} of a former member goes", names.etcd_claim(*ordinal)),
            conditions,
        ),
    }
}
