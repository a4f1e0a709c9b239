//! What the machine can do at best, measured in the same run: figures are read beside these.

use std::{
    fmt,
    fs::File,
    hint::black_box,
    io::{self, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use markstein_proto::{Hash, SecretKey};

use crate::{
    scale::Scale,
    stats::{Human, Times, grouped, rate},
};

/// Bytes of the write that is synced: a page.
const PAGE: usize = 4096;
/// Bytes hashed at a time.
const MIB: usize = 1024 * 1024;

/// The ceilings of one core and of the disk.
pub(crate) struct Ceilings {
    synced_write: Times,
    /// SHA-256, bytes a second.
    pub(crate) hash: f64,
    /// One strict Ed25519 verification.
    pub(crate) verification: Duration,
}

/// Appends pages to a file and syncs each.
pub(crate) struct SyncedWrites(File);

impl SyncedWrites {
    /// Into a file without a name.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        tempfile::tempfile_in(folder).map(Self)
    }

    pub(crate) fn one(&mut self) -> io::Result<Duration> {
        let start = Instant::now();
        self.0.write_all(&[0x5a; PAGE])?;
        self.0.sync_data()?;
        Ok(start.elapsed())
    }
}

/// Synced writes of four at once, as four authorities on one disk make them: `each` of each.
pub(crate) fn four_writers(folder: &Path, each: usize) -> anyhow::Result<Times> {
    let writer = || -> io::Result<Vec<Duration>> {
        let mut disk = SyncedWrites::new(folder)?;
        (0..each).map(|_| disk.one()).collect()
    };
    let all = thread::scope(|scope| {
        let writers: Vec<_> = (0..4).map(|_| scope.spawn(writer)).collect();
        writers
            .into_iter()
            .map(|writer| {
                writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?.map_err(Into::into)
            })
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    Ok(Times::of(all.concat()))
}

impl Ceilings {
    pub(crate) fn measure(folder: &Path, scale: &Scale) -> io::Result<Self> {
        let mut disk = SyncedWrites::new(folder)?;
        for _ in 0..20 {
            disk.one()?;
        }
        let writes: io::Result<Vec<Duration>> = (0..scale.singles).map(|_| disk.one()).collect();
        Ok(Self { synced_write: Times::of(writes?), hash: hash(), verification: verification() })
    }

    /// The time that this many bytes and strict verifications take on one core.
    pub(crate) fn of(&self, bytes: u64, verifications: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.hash)
            + self.verification * u32::try_from(verifications).unwrap_or(u32::MAX)
    }
}

fn hash() -> f64 {
    let data = vec![0x5a; MIB];
    let round = || {
        let start = Instant::now();
        for _ in 0..64 {
            black_box(Hash::of(&[black_box(&data)]));
        }
        start.elapsed()
    };
    round();
    let times = Times::of((0..7).map(|_| round()).collect());
    (64 * MIB) as f64 / times.median().as_secs_f64()
}

fn verification() -> Duration {
    let key = SecretKey::from_seed(&[7; 32]);
    let message = [0x5a; 128];
    let (signature, public) = (key.sign(&message), key.public());
    let round = || {
        let start = Instant::now();
        for _ in 0..500 {
            let verdict = black_box(&public).verify(black_box(&message), black_box(&signature));
            assert!(verdict.is_ok(), "an honest signature is good");
        }
        start.elapsed()
    };
    round();
    Times::of((0..7).map(|_| round()).collect()).median() / 500
}

impl fmt::Display for Ceilings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Ceilings: synced write of 4 KB {}", self.synced_write.latency())?;
        writeln!(f, "          SHA-256 {:.2} GB/s on one core", self.hash / 1e9)?;
        let (each, second) = (Human(self.verification), rate(1, self.verification));
        writeln!(
            f,
            "          strict Ed25519 verification {}/s on one core ({each} each)",
            grouped(second as usize)
        )
    }
}
