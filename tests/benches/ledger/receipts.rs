//! A million records and four authorities: how large a receipt is, and how soon a node that has little else to do gives it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use markstein_client::{
    api::{
        GetReceiptRequest, RecordOfBatch, batch_state::State, get_receipt_request::Record,
        verification_client::VerificationClient,
    },
    export::tlog_proof,
    time::now,
};
use markstein_proto::{receipt::Receipt, status::StatusProof};
use markstein_tests::{
    craft::{Paper, Signer, Submission},
    devnet::Devnet,
    grpc::Api,
    random::Random,
};
use tonic::transport::Channel;

use crate::{
    Bench, check, say,
    stats::{Human, Times, grouped, rate},
};

const AUTHORITIES: usize = 4;
/// Records of a batch: half of all in such a night's batches, half in the largest there are.
const BATCHES: [usize; 2] = [1_000, 10_000];
/// Batches on their way at once.
const AT_ONCE: usize = 4;
/// Pause between two documents that somebody else anchors meanwhile.
const LIGHT_LOAD: Duration = Duration::from_millis(100);
/// Requests before it is measured.
const WARM_UP: usize = 50;

const RECEIPT_MAX: usize = 6_000;
const TLOG_PROOF_MAX: usize = 2_500;
const STATUS_PROOF_MAX: usize = 600;
const LATENCY_MAX: Duration = Duration::from_millis(1);

/// The largest of what was seen, in bytes.
#[derive(Default)]
struct Sizes {
    receipt: usize,
    tlog_proof: usize,
    status_proof: usize,
}

/// All of it.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let folder = bench.folder("receipts")?;
    say("starting four authorities");
    let devnet = Devnet::start_with(&folder.join("ledger"), AUTHORITIES, 0)?;
    let mut random = Random::new(11);
    let records = bench.scale.audited;
    let mut of_size = Vec::new();
    for each in BATCHES {
        say(&format!("writing {} records in batches of {}", grouped(records / 2), grouped(each)));
        let start = Instant::now();
        let batches = bench.runtime.block_on(grow(&devnet, records / 2, each, &mut random))?;
        bench.table.open(
            format!("four authorities: {} records in batches of {}", grouped(records / 2), grouped(each)),
            format!("{} records/s", grouped(rate(records / 2, start.elapsed()) as usize)),
            "",
        );
        of_size.push((each, batches));
    }
    let mut sizes = Sizes::default();
    for (each, batches) in &of_size {
        say(&format!("asking for receipts of batches of {}", grouped(*each)));
        let times = receipts(bench, &devnet, batches, &mut random, &mut sizes)?;
        bench.table.judged(
            format!("GetReceipt, any of {} records, batches of {}", grouped(records), grouped(*each)),
            times.latency(),
            "another document each 100 ms",
            format!("p50 below {}", Human(LATENCY_MAX)),
            times.median() < LATENCY_MAX,
        );
    }
    let Sizes { receipt, tlog_proof, status_proof } = sizes;
    for (what, bytes, max) in [
        ("largest receipt", receipt, RECEIPT_MAX),
        ("largest .tlog-proof", tlog_proof, TLOG_PROOF_MAX),
        ("largest status proof", status_proof, STATUS_PROOF_MAX),
    ] {
        bench.table.judged(
            format!("{what} at {} records", grouped(records)),
            format!("{} bytes", grouped(bytes)),
            "",
            format!("below {} bytes", grouped(max)),
            bytes < max,
        );
    }
    Ok(())
}

async fn grow(
    devnet: &Devnet,
    records: usize,
    each: usize,
    random: &mut Random,
) -> anyhow::Result<Vec<Submission>> {
    let (signer, mut apis, mut batches) = (Signer::read(&devnet.issuer_key())?, Vec::new(), Vec::new());
    for node in devnet.nodes() {
        apis.push(Api::connect(&node.grpc).await?);
    }
    while batches.len() < records / each {
        let mut under_way = Vec::new();
        for number in 0..AT_ONCE.min(records / each - batches.len()) {
            let papers = (0..each).map(|_| Paper::random(random)).collect();
            let batch = signer.submission(now(), papers)?;
            let (api, bytes) = (apis[number % apis.len()].clone(), batch.bytes());
            under_way.push(tokio::spawn(async move { api.submit_and_wait(bytes).await }));
            batches.push(batch);
        }
        for answer in under_way {
            let state = answer.await??.state;
            ensure!(matches!(state, Some(State::Final(_))), "a good batch came to {state:?}");
        }
    }
    Ok(batches)
}

/// Receipts of any of these, one at a time, while somebody else anchors a document now and then.
fn receipts(
    bench: &Bench,
    devnet: &Devnet,
    batches: &[Submission],
    random: &mut Random,
    sizes: &mut Sizes,
) -> anyhow::Result<Times> {
    let trust = devnet.trust()?;
    let signer = Signer::read(&devnet.issuer_key())?;
    let nodes = devnet.nodes();
    let (asked, other) = (nodes[0].grpc.clone(), nodes[1].grpc.clone());
    let mut others = Random::new(random.below(u64::MAX));
    bench.runtime.block_on(async {
        let over = Arc::new(AtomicBool::new(false));
        let load = {
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                let api = Api::connect(&other).await?;
                while !over.load(Ordering::Relaxed) {
                    let one = signer.submission(now(), vec![Paper::random(&mut others)])?;
                    api.submit_and_wait(one.bytes()).await?;
                    tokio::time::sleep(LIGHT_LOAD).await;
                }
                anyhow::Ok(())
            })
        };
        let mut client = VerificationClient::new(Channel::from_shared(asked)?.connect().await?);
        let mut times = Vec::new();
        for number in 0..WARM_UP + bench.scale.requests {
            let batch = &batches[random.below(batches.len() as u64) as usize];
            let position = random.below(batch.papers.len() as u64) as usize;
            let record =
                RecordOfBatch { batch_id: batch.id().0.0.to_vec(), position: u32::try_from(position)? };
            let start = Instant::now();
            let answer =
                client.get_receipt(GetReceiptRequest { record: Some(Record::OfBatch(record)) }).await?;
            let time = start.elapsed();
            let bytes = answer.into_inner().receipt;
            let mut receipt = Receipt::from_json(&bytes)?;
            let paper = &batch.papers[position];
            receipt.salt = Some(paper.salt);
            receipt.verify(&trust, &paper.digest)?;
            if number >= WARM_UP {
                times.push(time);
            }
            sizes.receipt = sizes.receipt.max(receipt.to_json().len());
            sizes.tlog_proof = sizes.tlog_proof.max(tlog_proof(&receipt)?.len());
            sizes.status_proof = sizes.status_proof.max(proof_bytes(&receipt.status));
        }
        over.store(true, Ordering::Relaxed);
        load.await.context("the light load")??;
        check(!times.is_empty(), || "nothing was measured".to_owned())?;
        Ok(Times::of(times))
    })
}

/// Bytes of a status proof: each chunk with its index, and its short form.
fn proof_bytes(proof: &StatusProof) -> usize {
    let chunks = proof.chunks.iter().map(|(index, chunk)| size_of_val(index) + size_of_val(chunk));
    chunks.sum::<usize>() + proof.to_bytes().len()
}
