//! Any object, there and back: nothing panics, and nothing of spec and status is lost. Seeds: `fuzz/seeds`.

#![no_main]

use k0smotron_api::conversion::{ConversionError, Version, convert};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Annotations take part in the conversion, and objects with odd ones need not come back as they were.
fn plain(object: &Value) -> bool {
    object.pointer("/metadata/annotations").is_none() && object.get("metadata").is_none_or(Value::is_object)
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(object) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    for (there, back) in [
        (Version::V1Beta1, Version::V1Beta2),
        (Version::V1Beta2, Version::V1Beta1),
    ] {
        let Ok(converted) = convert(object.clone(), there) else {
            continue;
        };
        let is_there = object["apiVersion"].as_str().is_some_and(|version| version.ends_with(there.as_str()));
        if is_there || !plain(&object) {
            continue;
        }
        match convert(converted, back) {
            Ok(returned) => {
                assert_eq!(returned.get("spec"), object.get("spec"));
                assert_eq!(returned.get("status"), object.get("status"));
            }
            Err(error) => assert_eq!(error, ConversionError::Omitted),
        }
    }
});
