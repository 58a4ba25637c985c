//! `migrate check` of objects as the original's releases have stored them: nothing of them is lost, refused or rolled.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::PathBuf};

use k0smotron_cli::{
    document,
    migrate::{Effect, of_object},
    schema::Schemas,
};

/// What this version does not run, so that it does not touch it either.
const HELD: [&str; 5] = [
    "not supported by this version yet: spec;",
    "spec.replicas: 3",
    "spec.provisioner.type: ignition",
    "spec.provisioner.type: powershell-xml",
    "spec.provisioner.platform: windows",
];
/// Stored while it was rolled.
const ROLLING: &str = "K0sControlPlane/demo";

#[test]
fn stored_objects_are_taken_over_as_they_are() {
    let schemas = Schemas::new().unwrap();
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../api/tests/golden");
    let (mut objects, mut wrong) = (0, Vec::new());
    for release in ["1.10", "2.0", "2.1"] {
        for file in fs::read_dir(golden.join(release)).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            for (_, object) in document::objects(&text).unwrap() {
                objects += 1;
                let title = document::title(&object);
                for effect in of_object(&object, &schemas) {
                    let expected = match &effect {
                        Effect::Note(_) | Effect::Rewrite(_) => true,
                        Effect::Hold(why) => HELD.iter().any(|held| why.contains(held)),
                        Effect::Roll(_) => title == ROLLING,
                        Effect::Refuse(_) | Effect::Change(_) => false,
                    };
                    if !expected {
                        wrong.push(format!("{release} {title}: {effect}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(objects > 40, "{objects} objects");
}
