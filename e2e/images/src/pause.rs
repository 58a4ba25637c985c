//! The pause image. There is no registry to pull it from, and without it no pod starts.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::image::Image;
use crate::layer::{Encoding, LayerBuilder};
use crate::program::run;

/// The name that containerd asks for under k0s v1.36.3.
pub const IMAGE: &str = "quay.io/k0sproject/pause:3.10.2-0";

/// The program, in C.
pub const SOURCE: &str = include_str!("../golden/pause.c");

/// Compiles the program and makes the image.
///
/// # Errors
/// There is no C compiler, or no static C library.
pub fn image() -> Result<Image> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("pause.c"), SOURCE)?;
    run(Command::new("cc")
        .current_dir(directory.path())
        .args(["-static", "-Os", "-s", "-o", "pause", "pause.c"]))?;
    // Compressed, because that is kept in memory and the file goes now.
    let layer = LayerBuilder::new()
        .file("pause", 0o755, &directory.path().join("pause"))
        .build(Encoding::Gzip)?;
    Ok(Image {
        name: IMAGE.to_owned(),
        entrypoint: vec!["/pause".to_owned()],
        user: "65535:65535".to_owned(),
        layers: vec![layer],
        ..Image::default()
    })
}
