//! A branch is as good as the final state: blocks executed on either are the same, however many of them are final.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use markstein_node::{
    ledger::{
        Branch, ExecuteError, ExecutedBlock, FinalState, InvalidBlock, Rules, State, Turn, execute, finalize,
    },
    storage::{Durability, MemoryStore},
};
use markstein_proto::{
    Batch, EpochId, IssuerGrant, LeafIndex, Record, TimeMs,
    status::{Status, apply, status_root},
};
use support::{START, batch, dump, genesis, issuer, new_db, random::Random, signed};

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

/// What later releases will put into blocks: changed statuses, and a grant in the place of the first batch's record.
fn later_release(state: &dyn State, block: &mut ExecutedBlock, random: &mut Random) {
    let changes: BTreeMap<u64, Status> = (0..random.below(4))
        .map(|_| (random.below(block.header.size_before.0), Status::from_bits(random.below(4) as u8)))
        .collect();
    block.status = apply(state, &changes, block.header.size_before.0).unwrap();
    if let Some((head, batch)) = block.batches.first_mut()
        && batch.records().len() == 1
    {
        let name = format!("named in block {}", block.header.height);
        let grant = IssuerGrant { name, ..genesis().grants[0].clone() };
        *batch = signed(START, 11, &[Record::IssuerGrant(grant)]);
        block.grants.insert(issuer().to_string(), LeafIndex(head.0 + 1));
    }
}

/// One block after the other is made final on one side; on the other they pile up and become final at random times.
fn chain(seed: u64) {
    let mut random = Random::new(seed);
    let (mut plain, mut branch) = (
        FinalState::load(&new_db(Arc::new(MemoryStore::new()))).unwrap(),
        Branch::new(FinalState::load(&new_db(Arc::new(MemoryStore::new()))).unwrap()),
    );
    let (mut first, mut written) = (0, Vec::new());
    for _ in 0..25 {
        let batches: Vec<_> = (0..random.below(4))
            .map(|_| {
                let count = 1 + random.below(random.clone().below(2) * 60 + 1);
                first += count;
                batch(START, first - count..first)
            })
            .collect();
        let (mut one, mut two) =
            (run(&plain, batches.clone()).unwrap(), run(&branch, batches.clone()).unwrap());
        let mut same_again = random.clone();
        later_release(&plain, &mut one, &mut random);
        later_release(&branch, &mut two, &mut same_again);
        assert_eq!(format!("{one:?}"), format!("{two:?}"), "seed {seed}");
        written.extend(one.batches.iter().map(|(_, batch)| batch.clone()));
        plain = store(&plain, &one);
        branch = branch.extend(Arc::new(two));
        for _ in 0..random.below(branch.blocks().len() as u64 + 1) {
            let oldest = branch.blocks().remove(0);
            branch = branch.on(store(branch.base(), &oldest)).unwrap();
        }
        assert_same(&plain, &branch, &written);
        if let Some(again) = written.last() {
            assert!(matches!(
                run(&branch, vec![again.clone()]),
                Err(ExecuteError::Invalid(InvalidBlock::Batch { .. }))
            ));
        }
    }
    for oldest in branch.blocks() {
        branch = branch.on(store(branch.base(), &oldest)).unwrap();
    }
    assert_eq!(dump(plain.db()), dump(branch.base().db()), "seed {seed}");
}

fn assert_same(plain: &FinalState, branch: &Branch, written: &[Arc<Batch>]) {
    assert_eq!(plain.tip(), branch.tip());
    assert_eq!(plain.frontier(), branch.frontier());
    assert_eq!(plain.authorities(), branch.authorities());
    assert_eq!(plain.grant(&issuer()).unwrap(), branch.grant(&issuer()).unwrap());
    let size = plain.tip().size.0;
    assert_eq!(status_root(plain, size).unwrap(), status_root(branch, size).unwrap());
    for batch in written {
        assert!(plain.contains(&batch.id()).unwrap() && branch.contains(&batch.id()).unwrap());
    }
    assert!(!branch.contains(&batch(START, 1_000_000..1_000_001).id()).unwrap());
}

#[test]
fn blocks_are_the_same_whatever_is_final() {
    (0..20).for_each(chain);
}

#[test]
fn branches_do_not_see_each_others_blocks() {
    let state = FinalState::load(&new_db(Arc::new(MemoryStore::new()))).unwrap();
    let root = Branch::new(state.clone());
    let (left, right) = (batch(START, 0..3), batch(START, 3..5));
    let on = |branch: &Branch, batch: &Arc<Batch>| {
        branch.extend(Arc::new(run(branch, vec![batch.clone()]).unwrap()))
    };
    let (one, two) = (on(&root, &left), on(&root, &right));
    assert!(one.contains(&left.id()).unwrap() && !one.contains(&right.id()).unwrap());
    assert!(two.contains(&right.id()).unwrap() && !two.contains(&left.id()).unwrap());
    assert!(!root.contains(&left.id()).unwrap() && root.blocks().is_empty());
    let both = on(&one, &right);
    let heights: Vec<u64> = both.blocks().iter().map(|block| block.header.height.0).collect();
    assert_eq!(heights, [1, 2], "oldest first");

    let after = store(&state, &both.blocks()[0]);
    assert!(two.on(after.clone()).is_none() && root.on(after.clone()).is_none(), "they lack the final block");
    assert_eq!(one.on(after.clone()).unwrap().blocks().len(), 0);
    let rest = both.on(after.clone()).unwrap();
    assert_eq!((rest.tip(), rest.blocks().len()), (both.tip(), 1));
    assert!(both.contains(&left.id()).unwrap(), "the old one is as good while its own blocks become final");
    assert_eq!(run(&both, vec![]).unwrap().header, run(&rest, vec![]).unwrap().header);
    assert!(rest.on(state).is_none(), "never back");
}

#[test]
#[should_panic(expected = "a branch grows by blocks executed on it")]
fn a_branch_takes_its_own_blocks_only() {
    let state = FinalState::load(&new_db(Arc::new(MemoryStore::new()))).unwrap();
    let root = Branch::new(state);
    let block = Arc::new(run(&root, vec![batch(START, 0..1)]).unwrap());
    let _ = root.extend(Arc::clone(&block)).extend(block);
}

#[test]
fn batches_that_were_never_pooled_are_stored_with_their_block() {
    let state = FinalState::load(&new_db(Arc::new(MemoryStore::new()))).unwrap();
    let batches: Vec<_> = (0..5).map(|n| batch(START, n * 300..n * 300 + 300)).collect();
    let block = run(&state, batches.clone()).unwrap();
    let after = store(&state, &block);
    let ids: BTreeSet<_> = batches.iter().map(|b| b.id()).collect();
    let held: BTreeSet<_> = ids.iter().filter(|id| after.contains(id).unwrap()).copied().collect();
    assert_eq!(held, ids);
    let read: Vec<Vec<u8>> =
        markstein_node::ledger::block_at(after.db(), block.header.height).unwrap().unwrap().batches;
    assert_eq!(read, batches.iter().map(|b| b.bytes().to_vec()).collect::<Vec<_>>());
    let reloaded = FinalState::load(after.db()).unwrap();
    assert_eq!((reloaded.tip(), reloaded.frontier()), (after.tip(), after.frontier()));
}
