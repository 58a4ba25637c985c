//! Builds every upstream component that is not in the cache yet and prints where each lies.

use anyhow::Result;

fn main() -> Result<()> {
    for (component, directory) in k0smotron_e2e_components::ensure_all()? {
        println!("{component}\t{}", directory.display());
    }
    Ok(())
}
