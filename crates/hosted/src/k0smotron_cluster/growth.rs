//! Volumes grow one at a time: the next one only when the last one has its size. Pure.
//!
//! Templates of claims cannot change, so the claim of a later pod begins small and is made to grow like the others.

use k0smotron_api::validation::values::quantity;
use k8s_openapi::{api::core::v1::PersistentVolumeClaim, apimachinery::pkg::api::resource::Quantity};
use kube::ResourceExt;

const STORAGE: &str = "storage";

/// What is done for volumes to have their size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Growth {
    /// They have it.
    Done,
    /// Ask for more on this claim.
    Ask { claim: String, size: String },
    /// This claim is growing.
    Wait { claim: String },
}

fn bytes(quantity: Option<&Quantity>) -> Option<f64> {
    quantity::parse(&quantity?.0)
}

fn requested(claim: &PersistentVolumeClaim) -> Option<f64> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    bytes(requests.get(STORAGE))
}

fn capacity(claim: &PersistentVolumeClaim) -> Option<f64> {
    bytes(claim.status.as_ref()?.capacity.as_ref()?.get(STORAGE))
}

/// The next step, for claims whose names begin like this.
pub fn growth(prefix: &str, size: &str, claims: &[PersistentVolumeClaim]) -> Growth {
    let Some(wanted) = quantity::parse(size) else {
        return Growth::Done;
    };
    let mut ours: Vec<_> = claims
        .iter()
        .filter(|claim| {
            let name = claim.name_any();
            let ordinal = name.strip_prefix(prefix);
            ordinal.is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
        })
        .collect();
    ours.sort_by_key(|claim| claim.name_any());
    // One without a volume yet has nothing that could grow.
    let grows = |claim: &&&PersistentVolumeClaim| matches!((requested(claim), capacity(claim)), (Some(asked), Some(has)) if has < asked);
    if let Some(claim) = ours.iter().find(grows) {
        return Growth::Wait {
            claim: claim.name_any(),
        };
    }
    let small = ours
        .iter()
        .find(|claim| capacity(claim).is_some() && requested(claim).is_some_and(|asked| asked < wanted));
    small.map_or(Growth::Done, |claim| Growth::Ask {
        claim: claim.name_any(),
        size: size.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(ordinal: u8, asked: &str, has: &str) -> PersistentVolumeClaim {
        let status = match has {
            "" => "{}".to_owned(),
            has => format!("{{capacity: {{storage: {has}}}}}"),
        };
        serde_yaml::from_str(&format!(
            "metadata: {{name: etcd-data-kmc-a-etcd-{ordinal}}}\n\
             spec: {{resources: {{requests: {{storage: {asked}}}}}}}\nstatus: {status}"
        ))
        .unwrap()
    }

    fn of(size: &str, claims: &[PersistentVolumeClaim]) -> String {
        match growth("etcd-data-kmc-a-etcd-", size, claims) {
            Growth::Done => "done".to_owned(),
            Growth::Ask { claim, size } => format!("ask {size} on {}", claim.rsplit('-').next().unwrap()),
            Growth::Wait { claim } => format!("wait for {}", claim.rsplit('-').next().unwrap()),
        }
    }

    #[test]
    fn one_at_a_time_and_never_smaller() {
        let (small, big) = (claim(0, "1Gi", "1Gi"), claim(1, "2Gi", "2Gi"));
        assert_eq!(of("1Gi", &[small.clone(), big.clone()]), "done");
        assert_eq!(of("2Gi", &[small, claim(1, "1Gi", "1Gi")]), "ask 2Gi on 0");
        assert_eq!(
            of("2Gi", &[claim(0, "2Gi", "1Gi"), claim(1, "1Gi", "1Gi")]),
            "wait for 0"
        );
        assert_eq!(
            of("2Gi", &[claim(0, "2Gi", "2Gi"), claim(1, "1Gi", "1Gi")]),
            "ask 2Gi on 1"
        );
        assert_eq!(of("2Gi", &[claim(0, "1Gi", "")]), "done", "it has no volume yet");
        assert_eq!(of("2048Mi", &[big]), "done");
        // A volume may be larger than what was asked for.
        assert_eq!(of("1Gi", &[claim(0, "1Gi", "10Gi")]), "done");
    }
}
