//! What a node answers to batches that nobody honest sends, over real gRPC.

use markstein_client::{api::batch_state::State, time::now};
use markstein_proto::{
    Anchor, BATCH_AGE_MAX_MS, Commitment, Hash, IssuerId, Leaf, LeafIndex, LedgerId, Reason, Record,
    SecretKey, StatusChange, TimeMs, status::Status,
};
use markstein_tests::{
    craft::{Paper, Signer, field, with_head},
    grpc::{Api, reason},
    random::Random,
};
use tonic::Code;

use crate::support::{Ledger, runtime};

const WEEK_MS: u64 = 7 * BATCH_AGE_MAX_MS;

/// A batch, what is wrong with it, and how it must be refused.
struct Bad {
    what: &'static str,
    batch: Vec<u8>,
    code: Code,
    reason: &'static str,
    /// A word the sentence must have.
    says: &'static str,
}

fn leaves(random: &mut Random, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| Paper::random(random).record().to_leaf()).collect()
}

fn bad(what: &'static str, batch: Vec<u8>, code: Code, reason: &'static str, says: &'static str) -> Bad {
    Bad { what, batch, code, reason, says }
}

fn not_to_be_written(signer: &Signer, leaves: &[Vec<u8>]) -> Vec<Bad> {
    let another_ledger = Signer { ledger: LedgerId(Hash([7; 32])), ..signer.clone() };
    let stranger = Signer { issuer: IssuerId::new("stranger.example").unwrap(), ..signer.clone() };
    let other_key = Signer { key: SecretKey::from_seed(&[7; 32]), ..signer.clone() };
    let denied = Code::PermissionDenied;
    let made = |signer: &Signer| signer.batch_of(now(), leaves);
    vec![
        bad("another ledger", made(&another_ledger), Code::InvalidArgument, "ANOTHER_LEDGER", "that ledger"),
        bad("an unknown issuer", made(&stranger), denied, "UNKNOWN_ISSUER", "ask the authorities"),
        bad("a key that is not the issuer's", made(&other_key), denied, "KEY_NOT_VALID", "key"),
        bad("a bad signature", badly_signed(signer), denied, "BAD_SIGNATURE", "signature"),
        bad(
            "made in a week",
            signer.batch_of(TimeMs(now().0 + WEEK_MS), leaves),
            Code::InvalidArgument,
            "CREATED_IN_THE_FUTURE",
            "clock",
        ),
        bad("a change of no record", no_target(signer), Code::FailedPrecondition, "NO_TARGET", "leaf 0"),
        bad("a type outside the grant", typed(signer, 99), Code::InvalidArgument, "UNREGISTERED_TYPE", "99"),
    ]
}

fn not_well_formed(signer: &Signer, random: &mut Random) -> Vec<Bad> {
    let good = signer.batch_of(now(), &leaves(random, 3));
    let one = leaves(random, 1);
    let twice = [one.clone(), one.clone()].concat();
    let many = leaves(random, 10_001);
    let small_many: Vec<Vec<u8>> = (0..10_001_u32).map(|i| field(1, &i.to_be_bytes())).collect();
    let (mut unknown, mut trailing) = (good.clone(), good.clone());
    unknown.extend(field(3, b"?"));
    trailing.push(0);
    let invalid = |what, batch, says| bad(what, batch, Code::InvalidArgument, "MALFORMED", says);
    vec![
        invalid("no record", signer.batch_of(now(), &[]), "1 to 10000"),
        invalid("10,001 records", signer.batch_of(now(), &small_many), "10000"),
        invalid("10,001 whole records", signer.batch_of(now(), &many), ""),
        invalid("one record twice", signer.batch_of(now(), &twice), "different"),
        invalid("an explicit default", signer.batch_of(now(), &[explicit_default(random)]), "canonical"),
        invalid("an unknown field", unknown, "canonical"),
        invalid("a trailing byte", trailing, ""),
        invalid("a truncated batch", good[..good.len() - 1].to_vec(), "truncated"),
        invalid("half a batch", good[..good.len() / 2].to_vec(), "truncated"),
        invalid("nothing at all", Vec::new(), ""),
        invalid("noise", random.bytes(1000), "no batch"),
        invalid("a record that is a header", signer.batch_of(now(), &[b"\x1a\x00".to_vec()]), ""),
        invalid("a little too much", random.bytes(1024 * 1024 + 1), "at most"),
    ]
}

/// An anchor whose absent public flag is written out as false, rightly signed.
fn explicit_default(random: &mut Random) -> Vec<u8> {
    let mut anchor = field(1, &random.bytes(32));
    anchor.extend([2 << 3, 0, 3 << 3, 1]);
    let version = vec![1 << 3, 1];
    field(2, &[version, field(2, &anchor)].concat())
}

/// A revocation of the genesis batch's head.
fn no_target(signer: &Signer) -> Vec<u8> {
    let change = StatusChange::new(LeafIndex(0), Status::Valid, Status::Revoked, Reason::Other).unwrap();
    signer.batch_of(now(), &[Record::StatusChange(change).to_leaf()])
}

fn typed(signer: &Signer, document_type: u32) -> Vec<u8> {
    let anchor = Anchor {
        commitment: Commitment(Hash([1; 32])),
        public: false,
        document_type,
        valid_until: None,
        supersedes: None,
    };
    signer.batch_of(now(), &[Record::Anchor(anchor).to_leaf()])
}

/// The signature is that of another batch.
fn badly_signed(signer: &Signer) -> Vec<u8> {
    let paper = Paper::random(&mut Random::new(77));
    let other = signer.submission(now(), vec![paper]).unwrap();
    let batch = signer.submission(now(), vec![Paper::random(&mut Random::new(78))]).unwrap();
    let mut head = batch.batch.head().clone();
    head.signatures.clone_from(&other.batch.head().signatures);
    let records: Vec<Vec<u8>> = batch.batch.records().iter().map(|record| record.bytes.to_vec()).collect();
    with_head(head, &records)
}

#[test]
fn each_bad_batch_is_refused_with_its_reason_and_changes_nothing() {
    let ledger = Ledger::start();
    let signer = ledger.signer();
    let mut random = Random::new(3);
    let some = leaves(&mut random, 2);
    let mut all = not_to_be_written(&signer, &some);
    all.extend(not_well_formed(&signer, &mut random));
    runtime().block_on(async {
        let api = Api::connect(ledger.devnet.url()).await.unwrap();
        let before = api.status().await.unwrap();
        for Bad { what, batch, code, reason: word, says } in all {
            let error = api.submit(batch.clone()).await.expect_err(what);
            assert_eq!((error.code(), reason(&error)), (code, word), "{what}: {}", error.message());
            assert!(error.message().contains(says), "{what}: {}", error.message());
            let error = api.submit_and_wait(batch).await.expect_err(what);
            assert_eq!((error.code(), reason(&error)), (code, word), "{what}, waiting");
        }
        // Beyond what the node reads at all; the connection goes on.
        let error = api.submit(random.bytes(2 << 20)).await.expect_err("2 MiB");
        assert!(matches!(error.code(), Code::OutOfRange | Code::ResourceExhausted), "{error:?}");
        let after = api.status().await.unwrap();
        assert_eq!((after.log_size, after.height), (before.log_size, before.height));
        assert_eq!((after.pool_batches, after.serving), (0, true));
        let good = signer.batch_of(now(), &some);
        let state = api.submit_and_wait(good).await.unwrap();
        assert!(matches!(state.state, Some(State::Final(_))), "a good batch is taken after all that");
    });
}

#[test]
fn a_batch_made_a_week_ago_is_refused_for_good() {
    let ledger = Ledger::start();
    let late = ledger.signer().batch_of(TimeMs(now().0 - WEEK_MS), &leaves(&mut Random::new(2), 2));
    runtime().block_on(async {
        let api = Api::connect(ledger.devnet.url()).await.unwrap();
        let before = api.log().await.unwrap();
        let refused = api.submit_and_wait(late.clone()).await.unwrap();
        let Some(State::Refused(why)) = &refused.state else { panic!("{refused:?}") };
        assert_eq!(why.reason, "EXPIRED");
        assert!(why.message.contains("sign its records again"), "{}", why.message);
        assert_eq!(api.submit(late).await.unwrap(), refused, "and again: the first outcome");
        assert_eq!(api.log().await.unwrap(), before);
    });
}

#[test]
fn a_batch_that_is_submitted_again_has_its_first_outcome() {
    let ledger = Ledger::start();
    let signer = ledger.signer();
    let submission = signer.submission(now(), vec![Paper::random(&mut Random::new(1))]).unwrap();
    runtime().block_on(async {
        let api = Api::connect(ledger.devnet.url()).await.unwrap();
        // At once, so that some meet the batch in the pool and others in the ledger.
        let at_once = (0..8).map(|_| {
            let (api, bytes) = (api.clone(), submission.bytes());
            tokio::spawn(async move { api.submit_and_wait(bytes).await.unwrap() })
        });
        let mut outcomes = Vec::new();
        for task in at_once.collect::<Vec<_>>() {
            outcomes.push(task.await.unwrap());
        }
        outcomes.push(api.submit(submission.bytes()).await.unwrap());
        assert!(matches!(outcomes[0].state, Some(State::Final(_))), "{:?}", outcomes[0]);
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
        let log = api.log().await.unwrap();
        assert_eq!(crate::support::anchors(&log), 1);
        assert!(matches!(log.last(), Some(Leaf::Header(_))));
    });
}
