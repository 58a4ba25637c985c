//! Any body of a request to convert: it is answered or refused, and the answer is JSON.

#![no_main]

use k0smotron_api::conversion::answer;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(answer) = answer(bytes) {
        assert!(serde_json::from_slice::<Value>(&answer).is_ok());
    }
});
