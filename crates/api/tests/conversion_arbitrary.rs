//! Whatever arrives, conversion and review answer. `make fuzz` runs the same for long.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use k0smotron_api::conversion::{ANNOTATION, Version, answer, convert, review};
use proptest::{collection, prelude::*, sample};
use serde_json::{Value, json};
use support::generate::free_form;

fn names() -> Vec<(String, String)> {
    let crds = k0smotron_api::crds();
    crds.into_iter()
        .map(|crd| (crd.spec.group, crd.spec.names.kind))
        .collect()
}

/// Objects of our kinds by name, of anything by content.
fn odd_objects() -> impl Strategy<Value = Value> {
    let parts = (free_form(), free_form(), free_form(), free_form(), free_form());
    (sample::select(names()), sample::select(vec!["v1beta1", "v1beta2", "v1alpha1"]), parts).prop_map(
        |((group, kind), version, (spec, status, metadata, annotations, kept))| {
            json!({
                "apiVersion": format!("{group}/{version}"),
                "kind": kind,
                "metadata": if metadata.is_object() { json!({"annotations": annotations, "x": metadata}) } else { metadata },
                "spec": {"service": spec, "storage": spec, "etcd": status, "provisioner": status, "template": {"spec": spec}, "clusterRef": spec},
                "status": status,
                ANNOTATION: kept,
            })
        },
    )
}

proptest! {
    #[test]
    fn anything_is_answered(object in prop_oneof![odd_objects(), free_form()]) {
        for version in [Version::V1Beta1, Version::V1Beta2] {
            if let Ok(there) = convert(object.clone(), version) {
                prop_assert!(there.is_object());
            }
        }
    }

    #[test]
    fn any_review_is_answered(objects in collection::vec(prop_oneof![odd_objects(), free_form()], 0..4), desired in sample::select(vec!["k0smotron.io/v1beta1", "bootstrap.cluster.x-k8s.io/v1beta2", "", "/", "v1"])) {
        let asked = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
            "request": {"objects": objects, "uid": "u", "desiredAPIVersion": desired},
        });
        let answered: Value = serde_json::from_slice(&answer(asked.to_string().as_bytes()).unwrap()).unwrap();
        prop_assert_eq!(&answered["response"]["uid"], "u");
        // Both ways of answering say the same.
        let typed = json!(review(&serde_json::from_value(asked).unwrap()));
        prop_assert_eq!(&answered["response"], &typed["response"]);
        let failed = answered["response"]["result"]["status"] == "Failure";
        let converted = answered["response"]["convertedObjects"].as_array().unwrap().len();
        prop_assert_eq!(converted, if failed { 0 } else { objects.len() });
    }

    #[test]
    fn any_bytes_are_answered(bytes in collection::vec(any::<u8>(), 0..64), text in "[\\[\\]{}\",:0-9a-z ]{0,64}") {
        let _ = answer(&bytes);
        let _ = answer(text.as_bytes());
    }

    /// Depth costs nobody the stack.
    #[test]
    fn depth_is_answered(depth in 1_usize..3000) {
        let body = format!("{}{}{}", r#"{"apiVersion":"a","kind":"b","request":{"uid":"u","desiredAPIVersion":"k0smotron.io/v1beta1","objects":["#, "[".repeat(depth), "]".repeat(depth) + "]}}");
        let _ = answer(body.as_bytes());
    }
}
