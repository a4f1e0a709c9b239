//! Strangers who ask for more than a node can hold, and take none of it.

use markstein_client::{
    api::{
        GetBlockRequest, GetReceiptRequest, RecordOfBatch, WatchBlocksRequest, WatchRequest,
        anchoring_client::AnchoringClient, get_receipt_request::Record, ledger_client::LedgerClient,
        verification_client::VerificationClient,
    },
    time::now,
};
use markstein_tests::{
    craft::Paper,
    grpc::{Api, reason},
    random::Random,
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::support::{Ledger, runtime};

/// A connection that lets each stream bring 64 KiB before somebody takes them.
async fn narrow(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap().initial_stream_window_size(65_535);
    endpoint.connect().await.unwrap()
}

fn is_busy<T>(answer: &Result<T, Status>) -> bool {
    let Err(status) = answer else { return false };
    assert_eq!((status.code(), reason(status)), (Code::ResourceExhausted, "BUSY"), "{status}");
    true
}

#[test]
fn readers_who_take_nothing_are_bounded_and_hold_up_nobody() {
    let ledger = Ledger::start();
    let mut random = Random::new(16);
    let papers = (0..8000).map(|_| Paper::random(&mut random)).collect();
    let submission = ledger.signer().submission(now(), papers).unwrap();
    runtime().block_on(async {
        let api = Api::connect(ledger.devnet.url()).await.unwrap();
        api.submit_and_wait(submission.bytes()).await.unwrap();
        let mut held = Vec::new();
        let mut busy = 0;
        for _ in 0..3 {
            let channel = narrow(ledger.devnet.url()).await;
            for _ in 0..40 {
                let mut client = LedgerClient::new(channel.clone());
                let stream = client.watch_blocks(WatchBlocksRequest { from_height: 0 }).await;
                busy += usize::from(is_busy(&stream));
                held.extend(stream);
            }
        }
        assert_eq!((held.len(), busy), (4, 116), "the share of one address");
        let block = GetBlockRequest { height: 1 };
        LedgerClient::new(narrow(ledger.devnet.url()).await).get_block(block).await.unwrap();
        let papers = vec![Paper::random(&mut random)];
        let next = ledger.signer().submission(now(), papers).unwrap();
        api.submit_and_wait(next.bytes()).await.unwrap();
    });
}

#[test]
fn batches_that_nobody_knows_are_watched_up_to_a_bound() {
    let ledger = Ledger::start();
    runtime().block_on(async {
        let channel = narrow(ledger.devnet.url()).await;
        let mut held = Vec::new();
        for number in 0..30_u8 {
            let batch_ids =
                (0..1000_u32).map(|n| [vec![number; 28], n.to_be_bytes().to_vec()].concat()).collect();
            let stream = AnchoringClient::new(channel.clone()).watch(WatchRequest { batch_ids }).await;
            assert_eq!(is_busy(&stream), held.len() == 10, "the share of one address");
            held.extend(stream);
        }
        drop(held);
        Api::connect(ledger.devnet.url()).await.unwrap().status().await.unwrap();
    });
}

#[test]
fn requests_that_bring_no_batch_are_small() {
    let ledger = Ledger::start();
    runtime().block_on(async {
        let mut client = VerificationClient::new(narrow(ledger.devnet.url()).await);
        let of = RecordOfBatch { batch_id: vec![0; 1 << 20], position: 0 };
        let request = GetReceiptRequest { record: Some(Record::OfBatch(of)) };
        let refused = client.get_receipt(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
        // Watching shares its service with submissions, and not what these may bring.
        let mut client = AnchoringClient::new(narrow(ledger.devnet.url()).await);
        let batch_ids = vec![vec![0; 32]; 3000];
        let refused = client.watch(WatchRequest { batch_ids }).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    });
}
