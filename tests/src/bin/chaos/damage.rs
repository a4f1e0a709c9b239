//! Harm to a file of a store, as a bad disk would do it.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use anyhow::{Context, bail};
use markstein_tests::{files, random::Random};

use crate::plan::Harm;

/// Damages a file of the store below `data`, which is not open: one that holds data, or the list of them. Says what it did.
pub fn damage(data: &Path, harm: Harm, random: &mut Random) -> anyhow::Result<String> {
    let mut candidates = Vec::new();
    for file in files::below(data)? {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let holds_data = [".log", ".sst", ".blob"].iter().any(|end| name.ends_with(end));
        let length = fs::metadata(&file)?.len();
        if (holds_data || name.starts_with("MANIFEST")) && length > 0 {
            candidates.push((file, name, length));
        }
    }
    if candidates.is_empty() {
        bail!("there is no file to damage below {}", data.display());
    }
    let (file, name, length) = candidates.swap_remove(random.below(candidates.len() as u64) as usize);
    let opened = OpenOptions::new().read(true).write(true).open(&file);
    let opened = opened.with_context(|| file.display().to_string())?;
    let place = random.below(length);
    match harm {
        Harm::Truncate => {
            opened.set_len(place)?;
            Ok(format!("{name} cut from {length} to {place} bytes"))
        }
        Harm::FlipBit => {
            let mut byte = [0];
            opened.read_exact_at(&mut byte, place)?;
            byte[0] ^= 1 << random.below(8);
            opened.write_all_at(&byte, place)?;
            Ok(format!("a bit of byte {place} of {length} of {name}"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_file_of_the_store_is_harmed() {
        let folder = tempfile::tempdir().unwrap();
        let all = [("000004.log", vec![7; 100]), ("CURRENT", vec![1; 10]), ("000009.sst", vec![])];
        for (name, bytes) in &all {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        damage(folder.path(), Harm::FlipBit, &mut Random::new(3)).unwrap();
        let read = fs::read(folder.path().join("000004.log")).unwrap();
        assert_eq!(read.iter().map(|byte| (byte ^ 7).count_ones()).sum::<u32>(), 1);
        damage(folder.path(), Harm::Truncate, &mut Random::new(3)).unwrap();
        assert!(fs::metadata(folder.path().join("000004.log")).unwrap().len() < 100);
        assert_eq!(fs::read(folder.path().join("CURRENT")).unwrap(), vec![1; 10]);
        fs::remove_file(folder.path().join("000004.log")).unwrap();
        assert!(damage(folder.path(), Harm::Truncate, &mut Random::new(3)).is_err());
    }
}
