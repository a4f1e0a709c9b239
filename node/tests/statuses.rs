//! Changes of statuses: who may make them, what they make of the status tree, and what receipts show of them.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use markstein_node::{
    ledger::{
        BatchRefusal, Branch, CountedCheckpoint, ExecuteError, ExecutedBlock, FinalState, InvalidBlock,
        Rules, State, Statuses, Turn, audit, batch_receipts, check_batch, check_next, execute, finalize,
        receipt,
    },
    pool::SubmitError,
    storage::{
        Durability, MemoryStore, Read, Table, Writes,
        tables::{BatchAuthors, ChangeHeads, Outcome, Outcomes, StatusEntry, StatusHistory, StatusSteps},
    },
};
use markstein_proto::{
    Anchor, Batch, EpochId, Hash, LeafIndex, Reason, Record, StatusChange, TimeMs, log,
    status::{Chunk, Status, StepError},
};
use support::{Ledger, START, anchor, batch, document, genesis, new_db, random::Random, salt, signed};

fn change(target: u64, from: Status, to: Status) -> Record {
    Record::StatusChange(StatusChange::new(LeafIndex(target), from, to, Reason::CourtOrder).unwrap())
}

fn successor(number: u64, target: u64) -> Record {
    Record::Anchor(Anchor { supersedes: Some(LeafIndex(target)), ..anchor(number) })
}

fn run(state: &dyn State, batches: Vec<Arc<Batch>>) -> Result<ExecutedBlock, ExecuteError> {
    let tip = state.tip();
    let turn = Turn { epoch: EpochId(0), view: tip.view.next(), proposer: 0, time: TimeMs(tip.time.0 + 1) };
    execute(state, &Rules::new(&genesis()), turn, batches)
}

fn store(state: &FinalState, block: &ExecutedBlock) -> FinalState {
    let writes = finalize::writes(state.db(), block).unwrap();
    state.db().commit(writes, Durability::Synced).unwrap();
    state.advance(block)
}

fn refusal(state: &dyn State, records: &[Record]) -> Option<BatchRefusal> {
    let batch = signed(START, 11, records);
    check_batch(state, &Rules::new(&genesis()), &batch, TimeMs(START + 1)).unwrap().err()
}

/// Blocks on one state that is final and on a branch, checked against a list of statuses.
struct World {
    plain: FinalState,
    branch: Branch,
    statuses: Vec<Status>,
    anchors: BTreeSet<u64>,
    documents: u64,
}

impl World {
    fn new() -> Self {
        let state = FinalState::load(&new_db(Arc::new(MemoryStore::new()))).unwrap();
        let branch = Branch::new(FinalState::load(&new_db(Arc::new(MemoryStore::new()))).unwrap());
        Self {
            plain: state,
            branch,
            statuses: vec![Status::Valid; 3],
            anchors: BTreeSet::new(),
            documents: 0,
        }
    }

    fn records(&mut self, random: &mut Random) -> Vec<Record> {
        let known: Vec<u64> = self.anchors.iter().copied().collect();
        let count = 1 + random.below(random.clone().below(2) * 150 + 3);
        let mut records: Vec<Record> = Vec::new();
        for _ in 0..count {
            let record = {
                self.documents += 1;
                let target = match known.len() as u64 {
                    0 => 2,
                    _ if random.below(60) == 0 => random.below(self.statuses.len() as u64 + 9),
                    all => known[random.below(all) as usize],
                };
                let (valid, suspended) = (Status::Valid, Status::Suspended);
                match random.below(40) {
                    0 => change(target, valid, Status::Revoked),
                    1 => change(target, suspended, Status::Revoked),
                    2 | 3 => change(target, valid, suspended),
                    4 | 5 => change(target, suspended, valid),
                    6 => successor(self.documents, target),
                    _ => Record::Anchor(anchor(self.documents)),
                }
            };
            if !records.contains(&record) {
                records.push(record); // the records of a batch are all different
            }
        }
        records
    }

    /// What the list says to a batch on top of `changed`.
    fn foresee(&self, changed: &mut BTreeMap<u64, Status>, records: &[Record]) -> Option<BatchRefusal> {
        let mut own = changed.clone();
        for step in records.iter().filter_map(Record::status_step) {
            let target = step.target();
            if !self.anchors.contains(&target.0) {
                return Some(BatchRefusal::NoTarget(target));
            }
            let now = own.get(&target.0).copied().unwrap_or(self.statuses[target.0 as usize]);
            match step.applied_to(now) {
                Ok(after) => own.insert(target.0, after),
                Err(why) => return Some(BatchRefusal::Status { target, why }),
            };
        }
        *changed = own;
        None
    }

    fn block(&mut self, random: &mut Random) {
        let rules = Rules::new(&genesis());
        let (mut changed, mut statuses, mut good) = (BTreeMap::new(), Statuses::default(), Vec::new());
        for _ in 0..random.below(5) {
            let records = self.records(random);
            let batch = signed(START, 11, &records);
            let foreseen = self.foresee(&mut changed, &records);
            let time = TimeMs(START + 1);
            let found = check_next(&self.branch, &rules, &mut statuses, &batch, time).unwrap();
            assert_eq!(found.err(), foreseen);
            if foreseen.is_none() {
                good.push((batch, records));
            } else {
                let all = good.iter().map(|(batch, _)| Arc::clone(batch)).chain([batch]).collect();
                let refused = run(&self.plain, all);
                assert!(matches!(refused, Err(ExecuteError::Invalid(InvalidBlock::Batch { .. }))));
            }
        }
        let batches: Vec<_> = good.iter().map(|(batch, _)| Arc::clone(batch)).collect();
        let (one, two) = (run(&self.plain, batches.clone()).unwrap(), run(&self.branch, batches).unwrap());
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
        for (_, records) in &good {
            self.statuses.push(Status::Valid);
            for record in records {
                if matches!(record, Record::Anchor(_)) {
                    self.anchors.insert(self.statuses.len() as u64);
                }
                self.statuses.push(Status::Valid);
            }
        }
        changed.into_iter().for_each(|(target, status)| self.statuses[target as usize] = status);
        assert_eq!(one.header.size_before.0, self.statuses.len() as u64);
        assert_eq!(one.header.status_root, self.root());
        self.statuses.push(Status::Valid);
        self.plain = store(&self.plain, &one);
        self.branch = self.branch.extend(Arc::new(two));
        for _ in 0..random.below(self.branch.blocks().len() as u64 + 1) {
            let oldest = self.branch.blocks().remove(0);
            self.branch = self.branch.on(store(self.branch.base(), &oldest)).unwrap();
        }
    }

    fn root(&self) -> Hash {
        let chunk = |statuses: &[Status]| {
            let mut chunk = Chunk::ZERO;
            (0..).zip(statuses).for_each(|(position, status)| chunk.set(position, *status));
            log::leaf_hash(&chunk.0)
        };
        log::root_of(self.statuses.chunks(128).map(chunk).collect::<Vec<_>>())
    }
}

#[test]
fn blocks_change_statuses_as_a_list_of_all_of_them_does() {
    for seed in 0..12 {
        let (mut world, mut random) = (World::new(), Random::new(seed));
        (0..25).for_each(|_| world.block(&mut random));
        assert!(world.statuses.iter().collect::<BTreeSet<_>>().len() >= 3, "seed {seed} changes little");
        audit(world.plain.db(), &genesis(), true, |_, _| ()).unwrap();
    }
}

#[test]
fn only_an_anchor_of_an_earlier_block_is_changed() {
    let state = FinalState::load(&new_db(Arc::new(MemoryStore::new()))).unwrap();
    let state = store(&state, &run(&state, vec![batch(START, 0..2)]).unwrap());
    let revoke = |target| change(target, Status::Valid, Status::Revoked);
    // 0 and 1: the genesis; 2: its header; 3: a head; 4 and 5: anchors; 6: a header; 7: a head; 8: in the same batch.
    for target in [0, 1, 2, 3, 6, 7, 8, 9, u64::MAX] {
        let records = [Record::Anchor(anchor(7)), revoke(target)];
        assert_eq!(refusal(&state, &records), Some(BatchRefusal::NoTarget(LeafIndex(target))));
        assert_eq!(refusal(&state, &[successor(8, target)]), Some(BatchRefusal::NoTarget(LeafIndex(target))));
    }
    assert_eq!(refusal(&state, &[revoke(4), successor(9, 5)]), None);
    let twice = refusal(&state, &[revoke(4), successor(9, 4)]);
    let why = StepError::Terminal(Status::Revoked);
    assert_eq!(twice, Some(BatchRefusal::Status { target: LeafIndex(4), why }));
    let lift = change(4, Status::Suspended, Status::Valid);
    let why = StepError::Other { expected: Status::Suspended, found: Status::Valid };
    let other = Some(BatchRefusal::Status { target: LeafIndex(4), why });
    assert_eq!(refusal(&state, std::slice::from_ref(&lift)), other);
    assert_eq!(refusal(&state, &[change(4, Status::Valid, Status::Suspended), lift]), None, "in order");
    let change_of_change = run(&state, vec![signed(START, 11, &[revoke(4)])]).unwrap();
    let state = store(&state, &change_of_change);
    assert_eq!(refusal(&state, &[revoke(8)]), Some(BatchRefusal::NoTarget(LeafIndex(8))));
}

/// What a receipt under a checkpoint says of a document, from what the store holds now.
fn shown(ledger: &Ledger, under: &CountedCheckpoint, number: u64, index: LeafIndex) -> (Status, Vec<Status>) {
    let mut receipt = receipt(&ledger.db, Some(under), index).unwrap();
    receipt.salt = Some(salt(number));
    let verified = receipt.verify(&ledger.trust, &document(number)).unwrap();
    (verified.status, verified.history.iter().map(|event| event.status).collect())
}

async fn submit(ledger: &mut Ledger, records: &[Record]) {
    let nonce = ledger.state().tip().height.0; // else the same change made again is the same batch
    ledger.pool.submit(signed(START + nonce, 11, records)).await.unwrap();
    assert!(ledger.cut());
}

/// What was set aside is looked at again each second.
fn checkpoint(ledger: &Ledger) -> Arc<CountedCheckpoint> {
    ledger.finality.snapshot().unwrap().checkpoint.unwrap()
}

#[tokio::test]
async fn receipts_show_what_led_to_a_status_also_under_an_older_checkpoint() {
    let mut ledger = Ledger::new();
    let papers = batch(START, 0..3);
    ledger.pool.submit(papers.clone()).await.unwrap();
    assert!(ledger.cut());
    let index = |number: u64| LeafIndex(4 + number);
    let mut under = vec![(checkpoint(&ledger), Status::Valid, vec![])];
    let mut events = Vec::new();
    for (from, to) in [(Status::Valid, Status::Suspended), (Status::Suspended, Status::Valid)].repeat(20) {
        submit(&mut ledger, &[change(4, from, to)]).await;
        events.push(to);
        let last = events.len().saturating_sub(32).next_multiple_of(2);
        under.push((checkpoint(&ledger), to, events[last..].to_vec()));
    }
    submit(&mut ledger, &[Record::Anchor(anchor(9)), successor(10, 4)]).await;
    let end = [&events[10..], &[Status::Superseded]].concat();
    under.push((checkpoint(&ledger), Status::Superseded, end));
    for (checkpoint, status, events) in &under {
        assert_eq!(shown(&ledger, checkpoint, 0, index(0)), (*status, events.clone()), "{}", checkpoint.size);
        assert_eq!(shown(&ledger, checkpoint, 1, index(1)), (Status::Valid, vec![]));
    }
    let of_batch = batch_receipts(&ledger.db, Some(&under[1].0), &papers.id()).unwrap();
    assert_eq!(of_batch.receipt(&ledger.db, 0).unwrap().changes.len(), 1);
    assert_eq!(of_batch.receipt(&ledger.db, 1).unwrap().changes.len(), 0);
    let ledger = ledger.crash();
    audit(&ledger.db, &genesis(), true, |_, _| ()).unwrap();
}

#[tokio::test]
async fn what_cannot_follow_any_more_is_refused_for_good_and_holds_up_nobody() {
    let mut ledger = Ledger::new();
    ledger.pool.submit(batch(START, 0..3)).await.unwrap();
    assert!(ledger.cut());
    let revoke = |nonce| signed(START + nonce, 11, &[change(4, Status::Valid, Status::Revoked)]);
    let suspend = signed(START, 11, &[change(5, Status::Valid, Status::Suspended)]);
    let suspend_again = signed(START + 1, 11, &[change(5, Status::Valid, Status::Suspended)]);
    let good = batch(START, 20..21);
    let all = [revoke(1), suspend.clone(), revoke(2), suspend_again.clone(), good.clone()];
    for batch in &all {
        ledger.pool.submit(batch.clone()).await.unwrap();
    }
    assert!(ledger.cut());
    let outcome = |ledger: &Ledger, batch: &Batch| ledger.db.get::<Outcomes>(&batch.id().0).unwrap();
    ledger.until(|ledger| outcome(ledger, &revoke(2)).is_some());
    for batch in [&revoke(1), &suspend, &good] {
        assert!(matches!(outcome(&ledger, batch), Some(Outcome::Final { .. })));
    }
    let refused = outcome(&ledger, &revoke(2));
    assert!(matches!(refused, Some(Outcome::Refused { reason: 3, .. })), "{refused:?}");
    assert_eq!(outcome(&ledger, &suspend_again), None, "it may be lifted, and suspended again");
    submit(&mut ledger, &[change(5, Status::Suspended, Status::Valid)]).await;
    ledger.until(|ledger| matches!(outcome(ledger, &suspend_again), Some(Outcome::Final { .. })));
    let refused = ledger.pool.submit(revoke(3)).await;
    let why = StepError::Terminal(Status::Revoked);
    let expected = BatchRefusal::Status { target: LeafIndex(4), why };
    assert_eq!(expected.reason(), "STATUS_TERMINAL");
    assert_eq!(refused, Err(SubmitError::Refused(expected)));
}

#[tokio::test]
async fn a_change_that_is_not_found_any_more_is_seen() {
    let mut ledger = Ledger::new();
    submit(&mut ledger, &[Record::Anchor(anchor(1)), Record::Anchor(anchor(2))]).await;
    submit(&mut ledger, &[change(4, Status::Valid, Status::Suspended)]).await;
    submit(&mut ledger, &[change(4, Status::Suspended, Status::Valid)]).await;
    let (first, second) = ((LeafIndex(4), LeafIndex(8)), (LeafIndex(4), LeafIndex(11)));
    let seen = |table: &str, spoil: &dyn Fn(&mut Writes), mend: &dyn Fn(&mut Writes)| {
        let commit = |change: &dyn Fn(&mut Writes)| {
            let mut writes = Writes::new();
            change(&mut writes);
            ledger.db.commit(writes, Durability::Synced).unwrap();
        };
        commit(spoil);
        let error = audit(&ledger.db, &genesis(), true, |_, _| ()).unwrap_err();
        assert!(error.is_corruption() && error.to_string().contains(table), "{table}: {error}");
        commit(mend);
        audit(&ledger.db, &genesis(), true, |_, _| ()).unwrap();
    };
    let author = ledger.db.get::<BatchAuthors>(&LeafIndex(3)).unwrap().unwrap();
    let mend_history = |at: (LeafIndex, LeafIndex), before: Status| {
        let change = ledger.db.get::<StatusHistory>(&at).unwrap().unwrap();
        move |writes: &mut Writes| {
            writes.put::<StatusHistory>(&at, &StatusEntry { before, ..change.clone() });
        }
    };
    seen(
        BatchAuthors::NAME,
        &|writes| {
            writes.delete::<BatchAuthors>(&LeafIndex(3));
        },
        &|writes| {
            writes.put::<BatchAuthors>(&LeafIndex(3), &author);
        },
    );
    seen(
        StatusSteps::NAME,
        &|writes| {
            writes.put::<StatusSteps>(&first.1, &LeafIndex(5));
        },
        &|writes| {
            writes.put::<StatusSteps>(&first.1, &LeafIndex(4));
        },
    );
    let lose = |at: (LeafIndex, LeafIndex)| {
        move |writes: &mut Writes| {
            writes.delete::<StatusHistory>(&at);
        }
    };
    seen(StatusHistory::NAME, &lose(first), &mend_history(first, Status::Valid));
    seen(StatusHistory::NAME, &lose(second), &mend_history(second, Status::Suspended));
    seen(StatusHistory::NAME, &mend_history(second, Status::Valid), &mend_history(second, Status::Suspended));
    let change = ledger.db.get::<StatusHistory>(&second).unwrap().unwrap();
    for other in [
        StatusEntry { leaf: [&change.leaf[..], &[0]].concat(), ..change.clone() },
        StatusEntry { head: LeafIndex(change.head.0 - 1), ..change.clone() },
    ] {
        let put = |entry: StatusEntry| {
            move |writes: &mut Writes| {
                writes.put::<StatusHistory>(&second, &entry);
            }
        };
        seen(StatusHistory::NAME, &put(other), &put(change.clone()));
    }
    let head = ledger.db.get::<ChangeHeads>(&change.head).unwrap().unwrap();
    seen(
        ChangeHeads::NAME,
        &|writes| {
            writes.delete::<ChangeHeads>(&change.head);
        },
        &|writes| {
            writes.put::<ChangeHeads>(&change.head, &head);
        },
    );
}
