//! What must hold at the end, on every node but a damaged one, after all is whole again and was started anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use markstein_client::api::{Final, batch_state::State};
use markstein_proto::{BatchId, Leaf};
use markstein_tests::{
    grpc::Api,
    process::{LOOK_AGAIN, check_interrupted},
};
use tokio::{runtime::Handle, time::timeout};

use crate::{
    field::Field,
    load::{Desk, verify_all},
    plan::AUTHORITIES,
    timeline::Timeline,
};

/// What is not so by then never will be.
const PATIENCE: Duration = Duration::from_secs(180);

/// Starts all nodes anew and demands everything; `false` where something does not hold.
pub fn all(field: &mut Field, desk: &Desk, timeline: Timeline, runtime: &Handle) -> anyhow::Result<bool> {
    start_anew(field)?;
    let healthy = field.healthy();
    let apis = healthy.iter().map(|i| Ok((*i, runtime.block_on(Api::connect(&field.cluster.url(*i)?))?)));
    let apis: Vec<(usize, Api)> = apis.collect::<anyhow::Result<_>>()?;
    let mut log = Vec::new();
    let demands = [
        runtime.block_on(decided(desk, &apis, field.lost)),
        same_logs(field, &apis, runtime, &mut log),
        runtime.block_on(acknowledged(desk, &apis, &log)),
        logs_are_calm(field),
    ];
    let mut holds = true;
    for demand in demands {
        match demand {
            Ok(what) => timeline.holds(&what),
            Err(why) => {
                check_interrupted()?;
                timeline.fails(&format!("{why:#}"));
                holds = false;
            }
        }
    }
    if let Some(i) = field.lost {
        let state = field.state_of_damaged(i)?;
        timeline.note(&format!("node {i}, damaged: {state}"));
    }
    Ok(holds)
}

/// With SIGTERM, so that this, too, has been done.
fn start_anew(field: &mut Field) -> anyhow::Result<()> {
    for i in field.healthy() {
        let status = field.cluster.stop(i)?;
        if !status.success() {
            bail!("node {i} was asked to stop and ended with {status}");
        }
    }
    field.start_all()?;
    for i in field.healthy() {
        field.cluster.wait_status(i, "serves and votes", |status| status.serving && status.voting)?;
    }
    Ok(())
}

/// Everything accepted is final or refused; the damaged node's word does not count.
async fn decided(desk: &Desk, apis: &[(usize, Api)], lost: Option<usize>) -> anyhow::Result<String> {
    let mut accepted: BTreeMap<usize, Vec<BatchId>> = BTreeMap::new();
    let (mut open, mut total) = (0, 0);
    for entry in &desk.book.open().entries {
        total += 1;
        if entry.accepted && Some(entry.node) != lost {
            accepted.entry(entry.node).or_default().push(entry.submission.id());
        } else {
            open += 1;
        }
    }
    let (mut is_final, mut refused) = (0, 0);
    for (node, ids) in accepted {
        let (_, api) = apis.iter().find(|(i, _)| *i == node).context("a healthy node")?;
        let states = timeout(PATIENCE, api.decided(&ids)).await;
        let states = states.with_context(|| format!("node {node} has accepted what it never decides"))?;
        for state in states.with_context(|| format!("node {node} on what it accepted"))? {
            match state.state {
                Some(State::Final(_)) => is_final += 1,
                Some(State::Refused(_)) => refused += 1,
                other => bail!("node {node} says of what it accepted: {other:?}"),
            }
        }
    }
    Ok(format!(
        "of {total} submissions {} were accepted by healthy nodes, {is_final} of them are final, {refused} refused; \
         {open} others had no answer, or none that counts",
        is_final + refused
    ))
}

/// All logs have the same bytes, and no batch twice; gives the log.
fn same_logs(
    field: &Field,
    apis: &[(usize, Api)],
    runtime: &Handle,
    log: &mut Vec<Vec<u8>>,
) -> anyhow::Result<String> {
    let until = Instant::now() + PATIENCE;
    *log = loop {
        check_interrupted()?;
        let logs = apis.iter().map(|(_, api)| runtime.block_on(api.leaves()));
        let logs: Vec<Vec<Vec<u8>>> = logs.collect::<anyhow::Result<_>>()?;
        for ((node, _), log) in apis.iter().zip(&logs) {
            if let Some(index) = first_difference(log, &logs[0]) {
                bail!("leaf {index} of node {node} is another than that of node {}", apis[0].0);
            }
        }
        if logs.iter().all(|log| log.len() == logs[0].len()) {
            break logs.into_iter().next().context("there is a log")?;
        }
        if Instant::now() > until {
            let lengths: Vec<usize> = logs.iter().map(Vec::len).collect();
            bail!("after {PATIENCE:?} the logs are of different lengths: {lengths:?}");
        }
        thread::sleep(LOOK_AGAIN * 20);
    };
    let mut seen = BTreeSet::new();
    for leaf in log.iter() {
        if let Leaf::BatchHead(head) = Leaf::decode(leaf)?
            && !seen.insert(head.id())
        {
            bail!("batch {} is in the log twice", head.id());
        }
    }
    let damaged = compare_damaged(field, log, runtime)?;
    Ok(format!("the logs of {} nodes are the same {} leaves, byte by byte{damaged}", apis.len(), log.len()))
}

/// A damaged node may refuse, or be behind; what it gives must be right all the same.
fn compare_damaged(field: &Field, log: &[Vec<u8>], runtime: &Handle) -> anyhow::Result<String> {
    let Some(url) = field.lost.and_then(|i| field.cluster.url(i).ok()) else { return Ok(String::new()) };
    let leaves = async { Api::connect(&url).await?.leaves().await };
    match runtime.block_on(async { timeout(PATIENCE, leaves).await }) {
        Ok(Ok(leaves)) => match first_difference(&leaves, log) {
            Some(index) => bail!("the damaged node gives another leaf {index} than the others"),
            None => Ok(format!("; the damaged node gives {} of them", leaves.len())),
        },
        Ok(Err(_)) | Err(_) => Ok(String::new()),
    }
}

fn first_difference(one: &[Vec<u8>], other: &[Vec<u8>]) -> Option<usize> {
    one.iter().zip(other).position(|(one, other)| one != other)
}

/// Every acknowledged batch is final in its place on every node; its kept receipts and those of today verify, and are of
/// the leaves that stand there.
async fn acknowledged(desk: &Desk, apis: &[(usize, Api)], log: &[Vec<u8>]) -> anyhow::Result<String> {
    let pages = std::mem::take(&mut desk.book.open().entries);
    let kept: Vec<_> =
        pages.iter().filter_map(|entry| Some((&entry.submission, entry.acknowledged.as_ref()?))).collect();
    if kept.is_empty() {
        bail!("nothing was acknowledged");
    }
    let ids: Vec<BatchId> = kept.iter().map(|(submission, _)| submission.id()).collect();
    for (node, api) in apis {
        let states =
            timeout(PATIENCE, api.decided(&ids)).await.context("what is acknowledged is undecided")?;
        let states = states.with_context(|| format!("node {node} on what was acknowledged"))?;
        for (state, (submission, acknowledged)) in states.into_iter().zip(&kept) {
            let there = match state.state {
                Some(State::Final(place)) => Some(place),
                _ => None,
            };
            if there.as_ref() != Some(&acknowledged.place) {
                let (id, place) = (submission.id(), &acknowledged.place);
                bail!("node {node}: batch {id} was acknowledged at {place:?}, and is at {there:?}");
            }
        }
    }
    let mut records = 0;
    for (number, (submission, acknowledged)) in kept.iter().enumerate() {
        check_interrupted()?;
        let (node, api) = &apis[number % apis.len()];
        let mut today = api.receipts(submission.id()).await?;
        let place: &Final = &acknowledged.place;
        let of = || format!("node {node}, batch {}", submission.id());
        verify_all(&desk.trust, submission, place, &mut today).with_context(of)?;
        let mut old = acknowledged.receipts.clone();
        verify_all(&desk.trust, submission, place, &mut old).with_context(of)?;
        for receipt in old.iter().chain(&today) {
            let leaf = usize::try_from(receipt.record.index.0).ok().and_then(|index| log.get(index));
            if leaf != Some(&receipt.record.bytes) {
                bail!("{}: a receipt is of another leaf than the log's {}", of(), receipt.record.index.0);
            }
        }
        records += old.len();
    }
    Ok(format!(
        "{} acknowledged batches, {records} records: each in its place on {} nodes, receipts of then and now verify",
        kept.len(),
        apis.len()
    ))
}

/// No node, the damaged one included, has panicked; no healthy one was seen to contradict itself.
fn logs_are_calm(field: &Field) -> anyhow::Result<String> {
    for i in 0..AUTHORITIES {
        if let Some(line) = field.cluster.log(i).lines().find(|line| line.contains("panicked")) {
            bail!("node {i} panicked: {line}");
        }
    }
    for i in field.healthy() {
        for text in field.cluster.status(i)?.conditions {
            let about_lost = field.lost.is_some_and(|lost| text.contains(&format!("authority-{lost}.")));
            if text.contains("contradicted") && !about_lost {
                bail!("node {i} says: {text}");
            }
        }
    }
    Ok("no node has panicked, and none but a damaged one contradicted itself".into())
}
