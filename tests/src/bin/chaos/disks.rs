//! A small disk in memory for each node's data, which can be filled.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use markstein_tests::files::copy_folder;

use crate::{setup, tools::run};

/// What a store may come to within a minute of a run, and what it takes at once.
const MIB_A_MINUTE: f64 = 32.0;
const MIB_AT_ONCE: f64 = 224.0;
const MIB_MAX: f64 = 2048.0;
const CHUNK: usize = 1 << 20;
/// The last bytes of a disk go in small pieces.
const CRUMB: usize = 512;

/// Mounts a disk for the node in a folder, and moves its data there.
pub fn mount(node: &Path, minutes: f64) -> anyhow::Result<()> {
    let (disk, data) = (node.join("disk"), node.join("data"));
    fs::DirBuilder::new().mode(0o700).create(&disk)?;
    let size = format!("size={}m,mode=0700", (MIB_AT_ONCE + MIB_A_MINUTE * minutes).min(MIB_MAX).ceil());
    run(
        "mount",
        &["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), size.as_ref(), "tmpfs".as_ref(), disk.as_os_str()],
        "",
    )?;
    copy_folder(&data, &disk.join("data"))?;
    fs::set_permissions(disk.join("data"), fs::Permissions::from_mode(0o700))?;
    fs::remove_dir_all(&data)?;
    setup::edit(&node.join("node.toml"), |file| {
        file.insert("data_dir".into(), "disk/data".into());
        Ok(())
    })
}

/// The data of a node, on its disk or not.
pub fn data(node: &Path) -> PathBuf {
    let on_disk = node.join("disk/data");
    if on_disk.exists() { on_disk } else { node.join("data") }
}

/// Fills the disk of a node; gives how many bytes it took.
pub fn fill(node: &Path) -> anyhow::Result<u64> {
    let mut ballast = File::create(ballast(node))?;
    let chunk = vec![1; CHUNK];
    let mut filled = 0;
    for piece in [CHUNK, CRUMB] {
        loop {
            match ballast.write(&chunk[..piece]) {
                Ok(0) => break,
                Ok(written) => filled += written as u64,
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error).context("a disk cannot be filled"),
            }
        }
    }
    Ok(filled)
}

/// Gives back what [`fill`] took.
pub fn free(node: &Path) -> anyhow::Result<()> {
    Ok(fs::remove_file(ballast(node))?)
}

/// Takes the disk of a node away, with all that is on it.
pub fn unmount(node: &Path) -> anyhow::Result<()> {
    run("umount", &["-l".as_ref(), node.join("disk").as_os_str()], "")
}

/// Copies the data of a node to where it stays when the disk is gone.
pub fn save(node: &Path) -> anyhow::Result<()> {
    let (from, to) = (node.join("disk/data"), node.join("data"));
    if from.exists() { Ok(copy_folder(&from, &to)?) } else { Ok(()) }
}

fn ballast(node: &Path) -> PathBuf {
    node.join("disk/ballast")
}
