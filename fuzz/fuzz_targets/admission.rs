//! Any object, as given to validation and to the defaults; and any body, and any object in one, as given to the webhooks. Seeds:
//! `fuzz/seeds`.

#![no_main]

use k0smotron_api::validation::{admission, apply_defaults, defaulting, validate};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, from_slice, from_value, json};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(review) = from_slice(bytes) {
        admission(review);
    }
    if let Ok(review) = from_slice(bytes) {
        defaulting(review);
    }
    let Ok(mut object) = from_slice::<Value>(bytes) else {
        return;
    };
    for operation in ["CREATE", "UPDATE"] {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "name": "a", "namespace": "b", "operation": operation, "userInfo": {},
                "kind": {"group": "", "version": "", "kind": ""}, "resource": {"group": "", "version": "", "resource": ""},
                "object": object, "oldObject": object,
            },
        });
        if let Ok(review) = from_value(review.clone()) {
            admission(review);
        }
        if let Ok(review) = from_value(review) {
            defaulting(review);
        }
    }
    let old = object.clone();
    validate(&object, None);
    apply_defaults(&mut object);
    validate(&object, Some(&old));
});
