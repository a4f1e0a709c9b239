//! Every table of the store: its name, its key, its value and its order stand here and nowhere else.
//!
//! A table is added by adding it here and to [`ADDED_LATER`]; both backends then create it. A key or value is never
//! changed in place: that is a new [`FORMAT_VERSION`](super::FORMAT_VERSION).

use markstein_proto::{EpochId, Hash, Height, IssuerId, LeafIndex, LogSize, TimeMs, View, status::Status};

use super::table::{Fixed, KeyCodec, Table, ValueCodec, fixed_struct};

/// What a backend needs to know of a table to create it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Name of the table.
    pub name: &'static str,
    /// Whether its values are large and seldom removed, so that they are better kept beside the sorted keys.
    pub large_values: bool,
}

/// Tables that a sound store of an earlier release may lack: they are made when it is opened. Any other table that is
/// not there was lost.
pub const ADDED_LATER: &[&str] = &[Dropped::NAME];

macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident($name:literal, $values:ident): $key:ty => $value:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $table {}

            impl Table for $table {
                const NAME: &'static str = $name;
                const PAGE: usize = Values::$values.page();
                type Key = $key;
                type Value = $value;
            }
        )*

        /// All tables of the store.
        pub const TABLES: &[TableSpec] =
            &[$(TableSpec { name: $name, large_values: Values::$values.is_large() }),*];
    };
}

tables! {
    /// Facts about the store as a whole, one entry each. No order that matters.
    Meta("meta", Small): MetaKey => Vec<u8>;
    /// Header leaves, by their place in the log: as the chain, oldest first.
    Headers("headers", Small): LeafIndex => Vec<u8>;
    /// Where the header of each block stands in the log, by height.
    Heights("heights", Small): Height => LeafIndex;
    /// Canonical bytes of each batch by its id, pooled or final: written when the pool takes it, or with its block.
    /// One version: that in the ledger, where it is final.
    Batches("batches", Large): Hash => Vec<u8>;
    /// Id of the batch whose head stands at this index: final batches in the order of the log.
    BatchAt("batch_at", Small): LeafIndex => Hash;
    /// Who made the batch whose head stands at this index, and which of its records are anchors: final batches of
    /// issuers. So that a change of a status, of which there may be thousands in a block, need not read whole batches.
    BatchAuthors("batch_authors", Small): LeafIndex => BatchAuthor;
    /// What became of a batch, by its id; written when it is decided and never changed.
    Outcomes("outcomes", Small): Hash => Outcome;
    /// Accepted batches that are not decided yet, in the order of acceptance.
    Pool("pool", Small): u64 => PoolEntry;
    /// Batches that the operator dropped, and when: others may still hold them, so nothing is decided about them.
    Dropped("dropped", Small): Hash => TimeMs;
    /// Public records by commitment, then by issuer, then by status, then by the record that gave them that status: so
    /// that neither another issuer's records nor those of another status stand before what is looked for.
    PublicRecords("public_records", Small): PublicPlace => LeafIndex;
    /// Where each public record stands in [`PublicRecords`], by its leaf: what is needed to move it there.
    PublicStandings("public_standings", Small): LeafIndex => PublicStanding;
    /// Merkle tiles of the log by level and index: up to 256 concatenated hashes, as in C2SP tlog-tiles.
    Tiles("tiles", Small): (u8, u64) => Vec<u8>;
    /// Chunks of 128 statuses by number; an absent chunk is all valid.
    StatusChunks("status_chunks", Small): u64 => [u8; 32];
    /// Inner nodes of the status tree by level and index; an absent node is the root of all-valid chunks.
    StatusNodes("status_nodes", Small): (u8, u64) => Hash;
    /// Whose status each record changed that changed one: in the order of the log.
    StatusSteps("status_steps", Small): LeafIndex => LeafIndex;
    /// What changed a record's status: by the record, then by the record that changed it, with that record's leaf, so that
    /// a receipt need not read the batches that its changes stand in.
    StatusHistory("status_history", Small): (LeafIndex, LeafIndex) => StatusEntry;
    /// Leaves of the heads of batches with a record that changed a status, by their place in the log.
    ChangeHeads("change_heads", Small): LeafIndex => Vec<u8>;
    /// Where the grant in force of each issuer stands in the log, by issuer id (as text sorts).
    Registry("registry", Small): String => LeafIndex;
    /// Encoded authority sets by the epoch they hold for.
    AuthoritySets("authority_sets", Small): EpochId => Vec<u8>;
    /// What this node promised (its votes) and what it needs to keep the promise, in the order written.
    Journal("journal", Small): u64 => Vec<u8>;
    /// Pairs of votes that no honest authority casts, by view and signer: kept and shown.
    Evidence("evidence", Small): (View, u32) => Vec<u8>;
    /// Versions of batches that blocks in the journal name and the pool does not hold, by batch id and leaf hash of the
    /// signed head: of one batch id other valid signatures may exist than those here. Written with the journal's entry,
    /// removed when its block is final or can never be.
    ProposedBatches("proposed_batches", Large): (Hash, Hash) => Vec<u8>;
    /// Finalizations that prove the chain to others, by height.
    Finalizations("finalizations", Small): Height => Vec<u8>;
    /// Cosignatures by the size of the log they are on, then by the cosigner's number in its authority set.
    Cosignatures("cosignatures", Small): (LogSize, u32) => Vec<u8>;
}

/// How large the values of a table get.
enum Values {
    /// A few kilobytes at most.
    Small,
    /// Up to a megabyte.
    Large,
}

impl Values {
    const fn is_large(&self) -> bool {
        matches!(self, Self::Large)
    }

    /// Entries per read of a range: a page of large values stays below 4 MiB.
    const fn page(&self) -> usize {
        match self {
            Self::Small => 256,
            Self::Large => 4,
        }
    }
}

/// The entries of [`Meta`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaKey {
    /// Version of the store's format, four bytes big-endian.
    FormatVersion,
    /// Id of the ledger this store holds, 32 bytes.
    LedgerId,
    /// The canonical genesis message.
    Genesis,
    /// Largest size of the log that this node cosigned, eight bytes big-endian: it never cosigns a smaller one.
    CosignedSize,
    /// A vote with this node's key that its journal did not know: it never votes again.
    Amnesia,
    /// A repair found this node's journal lost; says why, as text: it never votes again.
    JournalLost,
    /// A repair set the ledger back to block 0: the view, eight bytes big-endian, up to which the lost data was final.
    /// The node votes only when it is final here again; the entry goes then.
    CatchUpTo,
    /// The random value that `init` also wrote beside the key: without it the journal is not this key's.
    JournalMarker,
}

impl MetaKey {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::FormatVersion,
        Self::LedgerId,
        Self::Genesis,
        Self::CosignedSize,
        Self::Amnesia,
        Self::JournalLost,
        Self::CatchUpTo,
        Self::JournalMarker,
    ];

    /// The key as it stands in the table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FormatVersion => "format_version",
            Self::LedgerId => "ledger_id",
            Self::Genesis => "genesis",
            Self::CosignedSize => "cosigned_size",
            Self::Amnesia => "amnesia",
            Self::JournalLost => "journal_lost",
            Self::CatchUpTo => "catch_up_to",
            Self::JournalMarker => "journal_marker",
        }
    }
}

impl KeyCodec for MetaKey {
    fn encode_key(&self) -> Vec<u8> {
        self.as_str().as_bytes().to_vec()
    }

    fn decode_key(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str().as_bytes() == bytes)
    }
}

/// An accepted batch that waits for its decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolEntry {
    /// The batch, whose bytes are in [`Batches`].
    pub batch_id: Hash,
    /// When this node accepted it.
    pub accepted_at: TimeMs,
}

fixed_struct!(PoolEntry { batch_id: Hash, accepted_at: TimeMs });

/// What became of a batch, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the ledger.
    Final {
        /// Height of its block.
        height: Height,
        /// Where its head stands in the log; its records follow.
        head_index: LeafIndex,
    },
    /// It will never be in the ledger.
    Refused {
        /// Why, as a stable code.
        reason: u16,
        /// When this node decided it.
        at: TimeMs,
    },
}

const TAG_FINAL: u8 = 1;
const TAG_REFUSED: u8 = 2;

impl ValueCodec for Outcome {
    fn encode_value(&self) -> Vec<u8> {
        match *self {
            Self::Final { height, head_index } => (TAG_FINAL, (height, head_index)).encode_value(),
            Self::Refused { reason, at } => (TAG_REFUSED, (reason, at)).encode_value(),
        }
    }

    fn decode_value(mut bytes: &[u8]) -> Option<Self> {
        let outcome = match u8::take(&mut bytes)? {
            TAG_FINAL => {
                Self::Final { height: Fixed::take(&mut bytes)?, head_index: Fixed::take(&mut bytes)? }
            }
            TAG_REFUSED => Self::Refused { reason: Fixed::take(&mut bytes)?, at: Fixed::take(&mut bytes)? },
            _ => return None,
        };
        bytes.is_empty().then_some(outcome)
    }
}

/// Where a public record stands among those of its commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicPlace {
    /// The commitment.
    pub commitment: Hash,
    /// Who anchored it.
    pub issuer: IssuerId,
    /// Its status.
    pub status: Status,
    /// Where the record stands that gave it this status: the one that changed it last, or else the record itself. No two
    /// of one issuer and status have the same.
    pub since: LeafIndex,
}

/// Length of what follows the issuer's id in a [`PublicPlace`]: a zero, which no id has, status and place.
const PLACE_END: usize = 1 + Status::LEN + LeafIndex::LEN;

impl KeyCodec for PublicPlace {
    fn encode_key(&self) -> Vec<u8> {
        let issuer = self.issuer.as_str().as_bytes();
        let mut out = Vec::with_capacity(Hash::LEN + issuer.len() + PLACE_END);
        self.commitment.put(&mut out);
        out.extend_from_slice(issuer);
        out.push(0);
        self.status.put(&mut out);
        self.since.put(&mut out);
        out
    }

    fn decode_key(mut bytes: &[u8]) -> Option<Self> {
        let commitment = Hash::take(&mut bytes)?;
        let (issuer, mut end) = bytes.split_at_checked(bytes.len().checked_sub(PLACE_END)?)?;
        let issuer = IssuerId::new(str::from_utf8(issuer).ok()?).ok()?;
        let zero = u8::take(&mut end)?;
        let (status, since) = Fixed::take(&mut end)?;
        (zero == 0).then_some(Self { commitment, issuer, status, since })
    }
}

/// What is kept of a public record to find it in [`PublicRecords`]; issuer and status are known where it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicStanding {
    /// Its commitment.
    pub commitment: Hash,
    /// As in [`PublicPlace`].
    pub since: LeafIndex,
}

fixed_struct!(PublicStanding { commitment: Hash, since: LeafIndex });

/// A change of a record's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusEntry {
    /// The status before.
    pub before: Status,
    /// Where the head of the batch stands that the change is in.
    pub head: LeafIndex,
    /// The leaf of the record that changed it.
    pub leaf: Vec<u8>,
}

impl ValueCodec for StatusEntry {
    fn encode_value(&self) -> Vec<u8> {
        let mut out = (self.before, self.head).encode_value();
        out.extend_from_slice(&self.leaf);
        out
    }

    fn decode_value(mut bytes: &[u8]) -> Option<Self> {
        let (before, head) = Fixed::take(&mut bytes)?;
        Some(Self { before, head, leaf: bytes.to_vec() })
    }
}

/// Who made a final batch, and which of its records are anchors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchAuthor {
    /// Its issuer.
    pub issuer: IssuerId,
    /// How many records it has.
    pub records: u32,
    /// A bit for each record that is no anchor, the lowest of the first byte for the first; empty where all are anchors.
    others: Vec<u8>,
}

impl BatchAuthor {
    /// With, for each record in order, whether it is an anchor.
    #[must_use]
    pub fn new(issuer: IssuerId, anchors: impl ExactSizeIterator<Item = bool>) -> Self {
        let records = anchors.len() as u32; // a batch has 10,000 at most
        let mut others = vec![0; anchors.len().div_ceil(8)];
        for (position, is_anchor) in anchors.enumerate() {
            others[position / 8] |= u8::from(!is_anchor) << (position % 8);
        }
        if others.iter().all(|byte| *byte == 0) {
            others.clear();
        }
        Self { issuer, records, others }
    }

    /// Whether its record number `position` is an anchor.
    #[must_use]
    pub fn is_anchor(&self, position: u32) -> bool {
        let byte = self.others.get(position as usize / 8).copied().unwrap_or(0);
        position < self.records && byte >> (position % 8) & 1 == 0
    }
}

impl ValueCodec for BatchAuthor {
    fn encode_value(&self) -> Vec<u8> {
        let issuer = self.issuer.as_str().as_bytes();
        let mut out = self.records.encode_value();
        out.push(issuer.len() as u8); // an issuer id is short
        out.extend_from_slice(issuer);
        out.extend_from_slice(&self.others);
        out
    }

    fn decode_value(mut bytes: &[u8]) -> Option<Self> {
        let records = u32::take(&mut bytes)?;
        let length = u8::take(&mut bytes)?;
        let (issuer, others) = bytes.split_at_checked(length.into())?;
        let issuer = IssuerId::new(str::from_utf8(issuer).ok()?).ok()?;
        let whole = others.len() == records.div_ceil(8) as usize && others.iter().any(|byte| *byte != 0);
        let unused = others.last().is_some_and(|last| records % 8 != 0 && last >> (records % 8) != 0);
        let sound = (others.is_empty() || whole) && !unused;
        sound.then(|| Self { issuer, records, others: others.to_vec() })
    }
}
