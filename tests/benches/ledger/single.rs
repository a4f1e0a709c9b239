//! One document on an idle node: how long its author waits.

use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use markstein_client::{
    batches::Statement,
    connect::{Connection, GrpcNode},
    keys::IssuerKey,
    observer::{Event, Observer},
    retry::{Nodes, Patience},
    scan::{Document, Scan, receipt_beside},
    session::{Job, Session},
    time::now,
};
use markstein_tests::{devnet::Devnet, random::Random};

use crate::{
    Bench,
    ceilings::SyncedWrites,
    check, say,
    stats::{Human, Times},
};

/// Bytes of a document: a page or two of text.
const BYTES: usize = 20_000;
const WARM_UP: usize = 10;
/// Writes that the target allows. The clock starts once the journal is synced, so the way that is judged has two of its
/// own, pool and block; the client's own syncs are in the figure for the whole run only, which is not judged.
const SYNCED_WRITES: u32 = 3;
const ALLOWANCE: Duration = Duration::from_millis(2);

/// When a session sent its batch, when it knew it final, and when it had verified and written the receipt.
#[derive(Default)]
struct Stopwatch(Mutex<[Option<Instant>; 3]>);

impl Observer for Stopwatch {
    fn event(&self, event: &Event<'_>) {
        let place = match event {
            Event::Journaled(_) => 0,
            Event::Decided(_) => 1,
            Event::Receipt(_) => 2,
            _ => return,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(Instant::now());
    }
}

impl Stopwatch {
    /// How long it took until the batch was final, and until its receipt was there.
    fn take(&self) -> Option<(Duration, Duration)> {
        let [sent, decided, received] =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Some((decided?.duration_since(sent?), received?.duration_since(sent?)))
    }
}

/// What was measured of documents that were anchored one by one.
pub(crate) struct Singles {
    pub(crate) finals: Times,
    pub(crate) receipts: Times,
    pub(crate) whole: Times,
    pub(crate) writes: Times,
}

/// One document after another on a node alone.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    say("anchoring single documents");
    let singles = anchor(bench, &bench.devnet, "single")?;
    let target = singles.writes.median() * SYNCED_WRITES + ALLOWANCE;
    bench.table.judged(
        "one document, journal synced to verified receipt",
        singles.receipts.latency(),
        format!("synced write {}", singles.writes.latency()),
        format!("p50 within 3 synced writes + 2 ms = {}", Human(target)),
        singles.receipts.median() <= target,
    );
    bench.table.open(
        "of it until the batch is final",
        singles.finals.latency(),
        "two synced writes: pool, block",
    );
    bench.table.open(
        "the whole run, client's syncs included (not judged)",
        singles.whole.latency(),
        "journal, receipt and their folders are synced, too",
    );
    Ok(())
}

/// Anchors documents one by one through the client's library, which keeps its connection open. A synced write is
/// timed before each, so both have the same disk.
pub(crate) fn anchor(bench: &Bench, devnet: &Devnet, name: &str) -> anyhow::Result<Singles> {
    let folder = bench.folder(name)?;
    let state = bench.folder(&format!("{name}-state"))?;
    let mut disk = SyncedWrites::new(&folder)?;
    let stopwatch = Arc::new(Stopwatch::default());
    let (mut finals, mut receipts, mut whole, mut writes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut random = Random::new(1);
    bench.runtime.block_on(async {
        let node = GrpcNode::new(devnet.url(), Connection::default())?;
        let nodes = Nodes::new(vec![node], Patience::of(Duration::from_secs(60)), stopwatch.clone());
        let key = IssuerKey::read(&devnet.issuer_key())?;
        let session = Session::open(nodes, devnet.trust()?, key, &state, now, stopwatch.clone()).await?;
        for number in 0..WARM_UP + bench.scale.singles {
            let path = folder.join(number.to_string());
            fs::write(&path, random.bytes(BYTES))?;
            let write = disk.one()?;
            let start = Instant::now();
            let report = session.run(job(Document { receipt: receipt_beside(&path), path })).await;
            let time = start.elapsed();
            check(report.is_complete() && report.anchored.len() == 1, || format!("{report:?}"))?;
            let Some((decided, receipt)) = stopwatch.take() else {
                anyhow::bail!("a receipt without its events")
            };
            if number >= WARM_UP {
                finals.push(decided);
                receipts.push(receipt);
                whole.push(time);
                writes.push(write);
            }
        }
        Ok(())
    })?;
    Ok(Singles {
        finals: Times::of(finals),
        receipts: Times::of(receipts),
        whole: Times::of(whole),
        writes: Times::of(writes),
    })
}

fn job(document: Document) -> Job {
    Job {
        scan: Scan { documents: vec![document], unreadable: Vec::new() },
        statement: Statement { document_type: 1, public: false, valid_until: None },
        batch_records: 10_000,
        keep_going: false,
    }
}
