//! `markstein anchor` as a whole process: many documents, and a large one.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use markstein_tests::{
    files::{below, receipt_of},
    random::Random,
};

use crate::{
    Bench, check, say,
    stats::{Human, Times, grouped, megabytes},
    watched::{self, Watched},
};

/// Bytes of each of many documents.
const BYTES: usize = 20_000;
/// Time for each of them.
const TIME_MAX: Duration = Duration::from_micros(1_500);
/// Signatures under each receipt on a ledger of one authority: the issuer's and a cosignature.
const SIGNATURES: usize = 2;
/// What the size of a document may change about the memory of the process that hashes it, in bytes.
const MEMORY_MORE: u64 = 8_000_000;

/// A folder with many documents.
pub(crate) fn many(bench: &mut Bench) -> anyhow::Result<()> {
    let count = bench.scale.documents;
    let (mut times, mut peak, mut random) = (Vec::new(), 0, Random::new(2));
    for run in 1..=bench.scale.runs {
        say(&format!("anchoring {} documents, run {run} of {}", grouped(count), bench.scale.runs));
        let folder = bench.folder(&format!("many-{run}"))?;
        for number in 0..count {
            fs::write(folder.join(format!("{number:05}.pdf")), random.bytes(BYTES))?;
        }
        settle(&folder)?;
        let done = anchor(bench, &folder)?;
        let files = below(&folder)?.len();
        check(files == 2 * count, || format!("{files} files for {count} documents and their receipts"))?;
        times.push(done.time);
        peak = peak.max(done.peak);
    }
    let (times, bytes) = (Times::of(times), (count * BYTES) as u64);
    let target = TIME_MAX * u32::try_from(count)?;
    bench.table.judged(
        format!("{} documents of 20 KB: hashed, anchored, receipted", grouped(count)),
        times.spread(),
        format!("hashes {}, signatures {} on a core", Human(bench.ceilings.of(bytes, 0)), {
            Human(bench.ceilings.of(0, SIGNATURES * count))
        }),
        format!("below {}", Human(target)),
        times.median() < target,
    );
    bench.table.open("the same: memory of the client at most", format!("{:.0} MB", megabytes(peak)), "");
    Ok(())
}

/// A document far larger than the memory it may take.
pub(crate) fn large(bench: &mut Bench) -> anyhow::Result<()> {
    let size = bench.scale.large;
    say(&format!("anchoring a document of {:.1} GB", size as f64 / 1e9));
    let small = bench.folder("large")?.join("small");
    fs::write(&small, b"one page")?;
    let base = anchor(bench, &small)?;
    let path = small.with_file_name("large");
    File::create(&path)?.set_len(size)?;
    read(&path)?; // from now on it is in the cache as far as it fits there, for us and for the client
    let reading = read(&path)?;
    let (mut times, mut peak) = (Vec::new(), 0);
    for _ in 0..bench.scale.runs.min(3) {
        let done = anchor(bench, &path)?;
        fs::remove_file(receipt_of(&path))?;
        times.push(done.time);
        peak = peak.max(done.peak);
    }
    fs::remove_file(&path)?;
    let times = Times::of(times);
    bench.table.judged(
        format!("a document of {:.1} GB: memory of the client at most", size as f64 / 1e9),
        format!("{:.0} MB", megabytes(peak)),
        format!("{:.0} MB with one of 8 bytes", megabytes(base.peak)),
        "constant (8 MB more)",
        peak <= base.peak + MEMORY_MORE,
    );
    bench.table.open(
        "the same: time of the whole process",
        format!("{}, {:.2} GB/s", times.spread(), size as f64 / 1e9 / times.median().as_secs_f64()),
        format!("SHA-256 {:.2} GB/s, reading {:.2} GB/s", bench.ceilings.hash / 1e9, {
            size as f64 / 1e9 / reading.as_secs_f64()
        }),
    );
    Ok(())
}

/// One whole `markstein anchor` of a document or a folder.
pub(crate) fn anchor(bench: &Bench, path: &Path) -> anyhow::Result<Watched> {
    let paths = [PathBuf::from(path).into_os_string()];
    let arguments = bench.anchor()?.into_iter().map(Into::into).chain(paths);
    watched::run(bench.client.command(arguments))
}

/// The time it takes to read a file.
fn read(path: &Path) -> anyhow::Result<Duration> {
    let (start, mut file, mut buffer) = (Instant::now(), File::open(path)?, vec![0; 256 * 1024]);
    while file.read(&mut buffer)? > 0 {}
    Ok(start.elapsed())
}

/// Brings to the disk what was written before, so that nobody waits for it later.
fn settle(folder: &Path) -> anyhow::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}
