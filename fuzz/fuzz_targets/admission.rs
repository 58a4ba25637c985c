//! Any object, as given to validation and to the defaults. Seeds: `fuzz/seeds`.

#![no_main]

use k0smotron_api::validation::{apply_defaults, validate};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut object) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let old = object.clone();
    validate(&object, None);
    apply_defaults(&mut object);
    validate(&object, Some(&old));
});
