//! What keeps pods from running, in words: those of the scheduler, of the kubelet, and the last ones of a program that ended.
//! Pure.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt;

use super::fetch::Inputs;

/// What programs say when their node has no more of something, and what helps: the node's own limits are shared by all pods
/// there, and nothing else tells of them.
const LIMITS: [(&str, &str); 3] = [
    (
        "too many open files",
        "the node's inotify instances or open files are used up; raise fs.inotify.max_user_instances (8192) and fs.file-max there",
    ),
    (
        "no space left on device",
        "a volume or the node's disk is full, or its inotify watches are used up (fs.inotify.max_user_watches)",
    ),
    (
        "cannot allocate memory",
        "the node has no memory left; make room there or give the pods requests for memory",
    ),
];
/// How much is told of what a program said last.
const LAST_WORDS: usize = 300;

/// Of all pods of a control plane.
pub fn hindrances(inputs: &Inputs) -> Vec<String> {
    inputs.pods.iter().filter_map(hindrance).collect()
}

/// Why a pod does not run, if that is known.
fn hindrance(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let name = pod.name_any();
    let mut conditions = status.conditions.iter().flatten();
    let unscheduled = conditions.find(|it| it.type_ == "PodScheduled" && it.status == "False");
    if let Some(condition) = unscheduled {
        let message = condition.message.clone().unwrap_or_default();
        return Some(format!("* Pod {name} finds no node: {message}"));
    }
    let containers = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    containers
        .filter_map(|container| Some((container, held_up(container)?)))
        .map(|(container, reason)| format!("* Pod {name}, container {}: {reason}", container.name))
        .next()
}

/// Why a container waits for more than its turn.
fn held_up(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    if ["", "ContainerCreating", "PodInitializing"].contains(&reason) {
        return None;
    }
    let message = waiting.message.as_deref().unwrap_or_default();
    let ended = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let parts = [
        format!("{reason} {message}").trim_end().to_owned(),
        ended.map(last_words).unwrap_or_default(),
    ];
    let mut text = parts.join("; ");
    text.truncate(text.trim_end_matches("; ").len());
    Some(match limit(&text) {
        Some(remedy) => format!("{remedy} ({text})"),
        None => text,
    })
}

/// How a program ended, and what it said last.
fn last_words(ended: &ContainerStateTerminated) -> String {
    if ended.reason.as_deref() == Some("OOMKilled") {
        return "it was killed for want of memory; raise spec.resources.limits.memory".to_owned();
    }
    let said = ended.message.as_deref().unwrap_or_default().trim();
    let skipped = said.chars().count().saturating_sub(LAST_WORDS);
    let said: String = said.chars().skip(skipped).collect();
    format!(
        "it ended with {} and said: {}",
        ended.exit_code,
        said.replace('\n', " ")
    )
}

fn limit(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let mut limits = LIMITS.iter();
    limits
        .find(|(said, _)| text.contains(said))
        .map(|(_, remedy)| *remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: &str) -> Option<String> {
        let yaml = format!("metadata: {{name: kmc-basic-0}}\nstatus: {status}");
        hindrance(&serde_yaml::from_str(&yaml).unwrap())
    }

    #[test]
    fn who_comes_up_is_not_hindered() {
        assert_eq!(
            of("{containerStatuses: [{name: controller, state: {waiting: {reason: ContainerCreating}}}]}"),
            None
        );
        assert_eq!(
            of("{containerStatuses: [{name: controller, state: {running: {}}}]}"),
            None
        );
        assert_eq!(of("{}"), None);
    }

    #[test]
    fn no_room_is_told_in_the_words_of_the_scheduler() {
        let told = of(
            "{conditions: [{type: PodScheduled, status: 'False', message: '0/1 nodes are available: 1 Insufficient memory.'}]}",
        );
        assert_eq!(
            told.unwrap(),
            "* Pod kmc-basic-0 finds no node: 0/1 nodes are available: 1 Insufficient memory."
        );
    }

    #[test]
    fn a_limit_of_the_node_is_named_with_what_helps() {
        let told = of(
            "
          containerStatuses:
          - name: controller
            state: {waiting: {reason: CrashLoopBackOff, message: back-off 10s}}
            lastState: {terminated: {exitCode: 1, message: 'failed to create watcher: too many open files'}}",
        )
        .unwrap();
        assert!(told.contains("fs.inotify.max_user_instances"), "{told}");
        assert!(
            told.contains(
                "CrashLoopBackOff back-off 10s; it ended with 1 and said: failed to create watcher"
            ),
            "{told}"
        );
    }

    #[test]
    fn memory_and_last_words_are_told_and_bounded() {
        let told = of("
          initContainerStatuses:
          - name: certs-init
            state: {waiting: {reason: CrashLoopBackOff}}
            lastState: {terminated: {exitCode: 137, reason: OOMKilled}}")
        .unwrap();
        assert!(told.contains("spec.resources.limits.memory"), "{told}");
        let long = format!(
            "{{containerStatuses: [{{name: etcd, state: {{waiting: {{reason: CrashLoopBackOff}}}}, lastState: {{terminated: {{exitCode: 2, message: '{} the end'}}}}}}]}}",
            "x".repeat(4000)
        );
        let told = of(&long).unwrap();
        assert!(told.len() < 450 && told.ends_with("the end"), "{told}");
    }
}
