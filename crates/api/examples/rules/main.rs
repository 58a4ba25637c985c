//! Writes `docs/validation.md` (or the file that is named): every rule with its field and remedy. `make manifests` runs it; the test
//! `rules_page` compares.

mod page;

use std::{error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let file = PathBuf::from(
        std::env::args()
            .nth(1)
            .unwrap_or_else(|| "docs/validation.md".to_owned()),
    );
    fs::write(file, page::write()?)?;
    Ok(())
}
