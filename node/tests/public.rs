//! Public records by issuer: what is told of them, under every checkpoint, against a list of all of them.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use markstein_node::{
    ledger::{
        ExecutedBlock, FinalState, OfIssuer, Part, PublicRecord, Rules, State, Turn, audit, execute,
        finalize, public_records, public_records_of, public_records_with,
    },
    storage::{
        Db, Durability, MemoryStore, Read, Writes,
        tables::{PublicPlace, PublicRecords, PublicStandings},
    },
};
use markstein_proto::{
    Anchor, Batch, Commitment, EpochId, Genesis, Hash, IssuerGrant, IssuerId, IssuerKey, LeafIndex, LogSize,
    Reason, Record, Salt, StatusChange, TimeMs, status::Status,
};
use support::{START, document, genesis, key, new_db_of, random::Random};

const ISSUERS: [(&str, u8); 2] = [("bauaufsicht.neustadt.example", 11), ("other.example", 12)];

fn two_issuers() -> Genesis {
    let mut genesis = genesis();
    genesis.grants.push(IssuerGrant {
        issuer: issuer(1),
        name: "Another".into(),
        keys: vec![IssuerKey { key: key(12).public(), not_before: TimeMs(START), not_after: None }],
        document_types: vec![1],
    });
    genesis.check().unwrap()
}

fn issuer(number: usize) -> IssuerId {
    IssuerId::new(ISSUERS[number].0).unwrap()
}

fn commitment(number: u64) -> Commitment {
    Commitment::of(&Salt::PUBLIC, &document(number))
}

/// A public record, as it came to be.
struct Known {
    number: u64,
    issuer: usize,
    index: u64,
    /// Each status with the leaf since which it has it.
    statuses: Vec<(Status, u64)>,
}

impl Known {
    fn now(&self) -> (Status, u64) {
        *self.statuses.last().unwrap()
    }

    /// How it stands in a log of so many leaves; `None` where it is not in it.
    fn at(&self, size: u64) -> Option<(Status, u64)> {
        self.statuses.iter().rev().find(|(_, since)| *since < size).copied()
    }
}

/// How a document stands with an issuer, by the rule of the client: an open question first, else what was said last.
fn standing(records: impl Iterator<Item = (Status, u64)>) -> Option<Status> {
    let all: Vec<(Status, u64)> = records.collect();
    let newest = |wanted: &[Status]| {
        all.iter().filter(|(status, _)| wanted.contains(status)).max_by_key(|(_, since)| *since).copied()
    };
    let ended = newest(&[Status::Revoked, Status::Superseded]);
    match (newest(&[Status::Suspended]), newest(&[Status::Valid])) {
        (Some(_), _) => Some(Status::Suspended),
        (None, Some((_, valid))) if ended.is_none_or(|(_, ended)| ended <= valid) => Some(Status::Valid),
        (None, _) => ended.map(|(status, _)| status),
    }
}

struct World {
    genesis: Genesis,
    state: FinalState,
    known: Vec<Known>,
    time: u64,
}

impl World {
    fn new() -> Self {
        let genesis = two_issuers();
        let db = new_db_of(Arc::new(MemoryStore::new()), &genesis);
        Self { genesis, state: FinalState::load(&db).unwrap(), known: Vec::new(), time: START }
    }

    fn db(&self) -> &Db {
        self.state.db()
    }

    fn sign(&mut self, issuer_number: usize, records: &[Record]) -> Arc<Batch> {
        self.time += 1;
        let (id, signer) = (issuer(issuer_number), key(ISSUERS[issuer_number].1));
        let ledger = self.genesis.ledger_id();
        Arc::new(Batch::sign(ledger, &id, &signer, TimeMs(self.time), records).unwrap())
    }

    fn block(&mut self, batches: Vec<Arc<Batch>>) -> ExecutedBlock {
        let tip = self.state.tip();
        let turn = Turn {
            epoch: EpochId(0),
            view: tip.view.next(),
            proposer: 0,
            time: TimeMs(self.time.max(tip.time.0 + 1)),
        };
        let block = execute(&self.state, &Rules::new(&self.genesis), turn, batches).unwrap();
        let writes = finalize::writes(self.db(), &block).unwrap();
        self.db().commit(writes, Durability::Synced).unwrap();
        self.state = self.state.advance(&block);
        block
    }

    /// A block in which both issuers write: anchors of a few documents, again and again, and changes of records of older blocks.
    fn random_block(&mut self, random: &mut Random) {
        let mut batches = Vec::new();
        let mut next = self.state.tip().size.0;
        for issuer in 0..2 {
            let (mut records, mut made) = (Vec::new(), Vec::new());
            let anchored = self.known.len();
            for _ in 0..1 + random.below(4) {
                let index = next + 1 + records.len() as u64;
                let old: Vec<usize> = (0..anchored).filter(|at| self.can_change(*at, issuer, next)).collect();
                let target = (!old.is_empty() && random.below(3) > 0)
                    .then(|| old[random.below(old.len() as u64) as usize]);
                let Some(target) = target else {
                    let number = random.below(2);
                    records.push(public(number, index, None));
                    made.push(Known { number, issuer, index, statuses: vec![(Status::Valid, index)] });
                    continue;
                };
                let (from, _) = self.known[target].now();
                let place = LeafIndex(self.known[target].index);
                let to = match (random.below(4), from) {
                    (0, _) => Status::Superseded,
                    (1, _) => Status::Revoked,
                    (_, Status::Suspended) => Status::Valid,
                    _ => Status::Suspended,
                };
                if to == Status::Superseded {
                    let number = self.known[target].number;
                    records.push(public(number, index, Some(place)));
                    made.push(Known { number, issuer, index, statuses: vec![(Status::Valid, index)] });
                } else {
                    let change = StatusChange::new(place, from, to, Reason::Other).unwrap();
                    records.push(Record::StatusChange(change));
                }
                self.known[target].statuses.push((to, index));
            }
            next += 1 + records.len() as u64;
            self.known.extend(made);
            batches.push(self.sign(issuer, &records));
        }
        self.block(batches);
    }

    /// Whether it is this issuer's, of an earlier block, and may change: twice at most in a batch, which holds no record twice.
    fn can_change(&self, at: usize, issuer: usize, first_of_batch: u64) -> bool {
        let known = &self.known[at];
        let first_of_block = self.state.tip().size.0;
        let in_batch = known.statuses.iter().filter(|(_, since)| *since >= first_of_batch).count();
        known.issuer == issuer
            && in_batch < 2
            && known.index < first_of_block.min(first_of_batch)
            && !known.now().0.is_terminal()
    }

    /// What is told under a checkpoint of this size is what follows from all that there is.
    fn check(&self, size: u64) {
        for number in 0..3 {
            let Part { found, after } =
                public_records(self.db(), commitment(number).0, None, LogSize(size)).unwrap();
            assert_eq!(after, None);
            let in_log = |issuer: usize| {
                let its = move |it: &&Known| it.number == number && it.issuer == issuer;
                self.known.iter().filter(its).filter_map(move |it| it.at(size))
            };
            let expected: BTreeMap<String, Status> = (0..2)
                .filter_map(|issuer| Some((ISSUERS[issuer].0.to_owned(), standing(in_log(issuer))?)))
                .collect();
            let told = |it: &OfIssuer| {
                let known = |record: &PublicRecord| {
                    let known = self.known.iter().find(|known| known.index == record.index.0).unwrap();
                    assert_eq!((record.status, record.since.0), known.now());
                    assert_eq!((known.number, issuer(known.issuer)), (number, it.issuer.clone()));
                    known.at(size).expect("what is not under the checkpoint is not told")
                };
                (it.issuer.to_string(), standing(it.records.iter().map(known)).unwrap())
            };
            assert_eq!(found.iter().map(told).collect::<BTreeMap<_, _>>(), expected, "{number} in {size}");
        }
    }
}

/// A public record that is another one for each `end`.
fn public(number: u64, end: u64, supersedes: Option<LeafIndex>) -> Record {
    Record::Anchor(Anchor {
        commitment: commitment(number),
        public: true,
        document_type: 1,
        valid_until: Some(TimeMs(START + (1 << 40) + end)),
        supersedes,
    })
}

#[test]
fn what_is_told_is_what_follows_from_all_records_under_every_checkpoint() {
    for seed in 0..30 {
        let (mut world, mut random, mut sizes) = (World::new(), Random::new(seed), Vec::new());
        for _ in 0..40 {
            world.random_block(&mut random);
            sizes.push(world.state.tip().size.0);
            // A checkpoint is a few blocks behind at most.
            sizes.iter().rev().take(4).for_each(|size| world.check(*size));
        }
        audit(world.db(), &world.genesis, true, |_, _| ()).unwrap();
    }
}

#[test]
fn a_list_leads_through_all_of_one_status_in_parts() {
    let mut world = World::new();
    let records: Vec<Record> = (0..350).map(|end| public(1, end, None)).collect();
    let batch = world.sign(0, &records);
    let first = world.block(vec![batch]).header.first_index.0 + 1;
    let one = world.sign(1, &[public(1, 0, None)]);
    world.block(vec![one]);
    let revoked: Vec<u64> = (first..first + 350).step_by(3).collect();
    let revoke = |target: &u64| {
        let change = StatusChange::new(LeafIndex(*target), Status::Valid, Status::Revoked, Reason::Unlawful);
        Record::StatusChange(change.unwrap())
    };
    let batch = world.sign(0, &revoked.iter().map(revoke).collect::<Vec<_>>());
    world.block(vec![batch]);
    let size = world.state.tip().size;
    let all = |status| {
        let (mut found, mut before, mut parts) = (Vec::new(), Some(LeafIndex(u64::MAX)), 0);
        while let Some(at) = before {
            let of = (commitment(1).0, &issuer(0), status);
            let part = public_records_with(world.db(), of, at, size).unwrap();
            assert!(part.found.len() <= 100);
            found.extend(part.found.iter().map(|it| it.index.0));
            (before, parts) = (part.after, parts + 1);
        }
        (found, parts)
    };
    let (ended, parts) = all(Status::Revoked);
    assert_eq!((ended.iter().rev().copied().collect::<Vec<_>>(), parts), (revoked.clone(), 2));
    let (valid, parts) = all(Status::Valid);
    let others: BTreeSet<u64> = (first..first + 350).filter(|index| !revoked.contains(index)).collect();
    assert_eq!((valid.into_iter().collect::<BTreeSet<_>>(), parts), (others, 3));
    // However many there are of the one, few are told, and the other one is told.
    let told = public_records(world.db(), commitment(1).0, None, size).unwrap().found;
    let counts: Vec<(&str, usize)> = told.iter().map(|it| (it.issuer.as_str(), it.records.len())).collect();
    assert_eq!(counts, [(ISSUERS[0].0, 4), (ISSUERS[1].0, 1)]);
}

#[test]
fn issuers_come_in_parts_and_nobody_is_left_out() {
    let db = Db::new(Arc::new(MemoryStore::new()));
    let (here, other) = (Hash([7; 32]), Hash([8; 32]));
    let ids: Vec<IssuerId> =
        (0..123).map(|n| IssuerId::new(&format!("office-{n}.example")).unwrap()).collect();
    let mut writes = Writes::new();
    for (number, id) in (0..).zip(&ids) {
        let many = if number == 60 { 1000 } else { 1 };
        for record in 0..many {
            let since = LeafIndex(number * 10_000 + record);
            for (commitment, status) in
                [(here, Status::Valid), (here, Status::Revoked), (other, Status::Valid)]
            {
                let place = PublicPlace { commitment, issuer: id.clone(), status, since };
                writes.put::<PublicRecords>(&place, &since);
            }
        }
    }
    db.commit(writes, Durability::Synced).unwrap();
    let size = LogSize(10_000_000);
    let (mut met, mut after, mut parts) = (Vec::new(), None, 0);
    loop {
        let part = public_records(&db, here, after, size).unwrap();
        assert!(part.found.iter().all(|it| it.records.len() <= 4));
        met.extend(part.found.into_iter().map(|it| it.issuer));
        (after, parts) = (part.after, parts + 1);
        if after.is_none() {
            break;
        }
    }
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!((met, parts), (sorted, 3));
    let nothing = public_records(&db, Hash([9; 32]), None, size).unwrap();
    assert_eq!(nothing, Part { found: Vec::new(), after: None });
    assert_eq!(public_records_of(&db, here, &ids[60], size).unwrap().len(), 4);
    // Where no checkpoint covers any of them, nobody is named, and the way still leads to the end.
    let uncovered = public_records(&db, here, None, LogSize(0)).unwrap();
    assert!(uncovered.found.is_empty() && uncovered.after.is_some());
}

#[test]
fn a_public_record_that_is_not_found_any_more_is_seen() {
    let mut world = World::new();
    let batch = world.sign(0, &[public(1, 0, None)]);
    let index = LeafIndex(world.block(vec![batch]).header.first_index.0 + 1);
    let (place, _) = world.db().first::<PublicRecords>().unwrap().unwrap();
    let standing = world.db().get::<PublicStandings>(&index).unwrap().unwrap();
    let commit = |change: &dyn Fn(&mut Writes)| {
        let mut writes = Writes::new();
        change(&mut writes);
        world.db().commit(writes, Durability::Synced).unwrap();
    };
    let spoils: [&dyn Fn(&mut Writes); 4] = [
        &|writes| _ = writes.delete::<PublicRecords>(&place),
        &|writes| _ = writes.put::<PublicRecords>(&place, &index.next()),
        &|writes| _ = writes.delete::<PublicStandings>(&index),
        &|writes| {
            _ = writes.put::<PublicStandings>(
                &index,
                &markstein_node::storage::tables::PublicStanding { since: index.next(), ..standing },
            )
        },
    ];
    for spoil in spoils {
        commit(spoil);
        let error = audit(world.db(), &world.genesis, true, |_, _| ()).unwrap_err();
        assert!(error.is_corruption() && error.to_string().contains("public_records"), "{error}");
        commit(&|writes| {
            writes.put::<PublicRecords>(&place, &index).put::<PublicStandings>(&index, &standing);
        });
        audit(world.db(), &world.genesis, true, |_, _| ()).unwrap();
    }
}
