//! Verification of a receipt: every check of the receipt rules in ARCHITECTURE.md, in their order, and nothing less.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use crate::{
    Anchor, AuthorityId, AuthoritySet, BATCH_AGE_MAX_MS, BatchHead, Commitment, DecodeError, DocumentDigest,
    DocumentTypeName, EpochId, Genesis, Hash, Header, Height, IssuerGrant, IssuerId, Leaf, LeafIndex,
    LedgerId, LogSize, Record, Salt, TimeMs, Verdict, key,
    log::{self, multiproof},
    note::{QuorumCount, SignedCheckpoint},
    status::Status,
};

use super::{Handover, NotVerified, PlacedLeaf, Receipt, StatusEvent, changes::Change};

/// What a verifier trusts: the genesis, from a source of its own. Everything else follows from it.
#[derive(Clone, Debug)]
pub struct TrustRoot {
    genesis: Genesis,
    ledger: LedgerId,
}

impl TrustRoot {
    /// Trusts this genesis.
    #[must_use]
    pub fn new(genesis: Genesis) -> Self {
        Self { ledger: genesis.ledger_id(), genesis }
    }

    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The ledger's id.
    #[must_use]
    pub const fn ledger_id(&self) -> LedgerId {
        self.ledger
    }
}

/// An authority that vouches for a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// Its id.
    pub id: AuthorityId,
    /// Its name for people.
    pub name: String,
}

/// What a receipt proves. Only a verification makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The ledger.
    pub ledger: LedgerId,
    /// Who anchored the document.
    pub issuer: IssuerId,
    /// Its name for people, as admitted by the authorities.
    pub issuer_name: String,
    /// What kind of document it is.
    pub document_type: DocumentTypeName,
    /// Whether anybody with the document can look the record up.
    pub public: bool,
    /// When it was anchored: the time of its block.
    pub anchored_at: TimeMs,
    /// The document itself says that it ends then.
    pub valid_until: Option<TimeMs>,
    /// The record's place in the log.
    pub index: LeafIndex,
    /// Its block.
    pub height: Height,
    /// The earlier record that this one replaced.
    pub supersedes: Option<LeafIndex>,
    /// The record's status at the as-of time.
    pub status: Status,
    /// How it came to that status, oldest first. Complete only as far as the status calls for: a suspension that was
    /// lifted may be left out by whoever made the receipt.
    pub history: Vec<StatusEvent>,
    /// The status of its issuer's grant at the as-of time; a later withdrawal does not touch the record.
    pub issuer_status: Status,
    /// The time status is proven for, in seconds since 1970: when the last of a quorum had seen nothing newer.
    pub as_of_s: u64,
    /// Size of the log that was signed.
    pub log_size: LogSize,
    /// Whose authorities signed.
    pub epoch: EpochId,
    /// Those who signed, in the order of the set.
    pub vouchers: Vec<Voucher>,
    /// How many authorities the set has.
    pub authorities: usize,
    /// How many of them a receipt needs.
    pub quorum: usize,
}

/// What a receipt proves of its record, whatever document that is of. Only [`Receipt::verify_record`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedRecord {
    /// What the record commits to. Nothing was compared with it.
    pub commitment: Commitment,
    /// All else.
    pub facts: Verified,
}

/// The decoded leaves of a receipt, each of the kind its place calls for.
pub(super) struct Leaves {
    pub(super) anchor: Anchor,
    pub(super) head: BatchHead,
    pub(super) grant: IssuerGrant,
    pub(super) header: Header,
    pub(super) latest: Header,
    pub(super) changes: Vec<Change>,
}

impl Receipt {
    /// Checks that this receipt proves `document` under `trust`.
    ///
    /// # Errors
    /// The first check that failed, see [`NotVerified`].
    pub fn verify(&self, trust: &TrustRoot, document: &DocumentDigest) -> Result<Verified, NotVerified> {
        self.verify_with(trust, document, &key::strictly)
    }

    /// The same with another [`Verdict`] on the signatures.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_with(
        &self,
        trust: &TrustRoot,
        document: &DocumentDigest,
        verdict: Verdict<'_>,
    ) -> Result<Verified, NotVerified> {
        let leaves = Leaves::decode(self)?;
        check_document(&leaves.anchor, self.salt.as_ref(), document)?;
        self.verify_leaves(trust, leaves, verdict)
    }

    /// Checks all but the document: what the ledger says of the record, for those who do not have the document at hand.
    /// It says nothing of any document, and the salt is not looked at.
    ///
    /// # Errors
    /// The first check that failed, see [`NotVerified`].
    pub fn verify_record(&self, trust: &TrustRoot) -> Result<VerifiedRecord, NotVerified> {
        let leaves = Leaves::decode(self)?;
        let commitment = leaves.anchor.commitment;
        Ok(VerifiedRecord { commitment, facts: self.verify_leaves(trust, leaves, &key::strictly)? })
    }

    fn verify_leaves(
        &self,
        trust: &TrustRoot,
        leaves: Leaves,
        verdict: Verdict<'_>,
    ) -> Result<Verified, NotVerified> {
        self.check_ledger(trust, &leaves)?;
        self.check_places(&leaves)?;
        self.check_change_places(&leaves)?;
        self.check_batch(&leaves, verdict)?;
        let set = self.follow_handovers(trust, verdict)?;
        let (size, count) = self.check_checkpoint(trust, &set, &leaves.latest, verdict)?;
        let (status, issuer_status) = self.check_status(&leaves.latest)?;
        let history = self.check_changes(&leaves, status)?;
        let Leaves { anchor, grant, header, .. } = leaves;
        let document_type = trust.genesis.document_type(anchor.document_type);
        Ok(Verified {
            ledger: trust.ledger,
            issuer: grant.issuer,
            issuer_name: grant.name,
            document_type: document_type.ok_or(NotVerified::UnknownDocumentType)?.clone(),
            public: anchor.public,
            anchored_at: header.time,
            valid_until: anchor.valid_until,
            index: self.record.index,
            height: header.height,
            supersedes: anchor.supersedes,
            status,
            history,
            issuer_status,
            as_of_s: count.as_of_s,
            log_size: size,
            epoch: set.epoch(),
            vouchers: count.signers.iter().map(|&i| voucher(&set, i)).collect(),
            authorities: set.authorities().len(),
            quorum: set.quorum(),
        })
    }

    /// The batch and the newest header are of this ledger and this epoch's rules.
    fn check_ledger(&self, trust: &TrustRoot, leaves: &Leaves) -> Result<(), NotVerified> {
        if leaves.head.ledger != trust.ledger {
            return Err(NotVerified::AnotherLedger);
        }
        if leaves.header.epoch > leaves.latest.epoch || leaves.header.height > leaves.latest.height {
            return Err(NotVerified::Places("the record's block is newer than the newest block"));
        }
        Ok(())
    }

    /// Grant, head, record, header and newest header stand where blocks hold them.
    fn check_places(&self, leaves: &Leaves) -> Result<(), NotVerified> {
        let Leaves { header, latest, .. } = leaves;
        let require = |holds: bool, rule| if holds { Ok(()) } else { Err(NotVerified::Places(rule)) };
        require(self.header.index == header.index(), "a header is not where it says")?;
        require(self.latest_header.index == latest.index(), "the newest header is not where it says")?;
        require(
            self.header.index <= self.latest_header.index,
            "the newest header is older than the record's",
        )?;
        require(header.first_index <= self.batch_head.index, "the batch head is not in the header's block")?;
        require(self.batch_head.index < self.record.index, "the record does not follow its batch head")?;
        require(self.record.index < self.header.index, "the record is not in the header's block")?;
        require(self.grant.index < self.batch_head.index, "the grant does not come before the record")
    }

    /// The record is in the batch that its issuer signed, with a key and in a scope it had at the block's time.
    fn check_batch(&self, leaves: &Leaves, verdict: Verdict<'_>) -> Result<(), NotVerified> {
        let Leaves { anchor, head, grant, header, .. } = leaves;
        let position = self.record.index.0 - self.batch_head.index.0 - 1; // check_places() put the head before it
        let leaf = log::leaf_hash(&self.record.bytes);
        log::verify_inclusion(
            &leaf,
            position,
            u64::from(head.record_count),
            &self.batch_path,
            &head.records_root,
        )
        .map_err(|_| NotVerified::NotInBatch)?;
        head.verify_author_with(grant, header.time, verdict)?;
        if header.time.0.abs_diff(head.created_at.0) > BATCH_AGE_MAX_MS {
            return Err(NotVerified::CreatedAt);
        }
        if grant.covers(anchor.document_type) { Ok(()) } else { Err(NotVerified::OutOfScope) }
    }

    /// The authority set of the newest header's epoch, reached from the genesis set by every handover in order.
    fn follow_handovers(&self, trust: &TrustRoot, verdict: Verdict<'_>) -> Result<AuthoritySet, NotVerified> {
        let mut set = trust.genesis.authorities.clone();
        let mut size = LogSize(0);
        for (i, handover) in self.handovers.iter().enumerate() {
            let refuse = |why| NotVerified::Handover { number: i + 1, why };
            let (next, at) = handover.verify(trust, &set, verdict).map_err(|e| match e {
                HandoverFailure::Why(why) => refuse(why),
                HandoverFailure::Other(other) => other,
            })?;
            if at <= size {
                return Err(refuse("it does not come after the one before it"));
            }
            (set, size) = (next, at);
        }
        if self.latest_header.index.0 < size.0 {
            return Err(NotVerified::AnotherAuthoritySet);
        }
        Ok(set)
    }

    /// A quorum of the set signed the log whose last leaf is the newest header, and all leaves are in it.
    fn check_checkpoint(
        &self,
        trust: &TrustRoot,
        set: &AuthoritySet,
        latest: &Header,
        verdict: Verdict<'_>,
    ) -> Result<(LogSize, QuorumCount), NotVerified> {
        if latest.epoch != set.epoch() || latest.authority_set != set.hash() {
            return Err(NotVerified::AnotherAuthoritySet);
        }
        let (signed, count) = open_checkpoint(trust, set, &self.checkpoint, verdict)?;
        let size = signed.checkpoint().size();
        if Some(self.latest_header.index.0) != size.0.checked_sub(1) {
            return Err(NotVerified::Places("the newest header is not the last leaf of the checkpoint"));
        }
        multiproof::verify(&self.log_leaves()?, size.0, &self.proof, &signed.checkpoint().root())
            .map_err(NotVerified::Inclusion)?;
        Ok((size, count))
    }

    /// The status of record and grant under the newest header's status root.
    fn check_status(&self, latest: &Header) -> Result<(Status, Status), NotVerified> {
        let indices = [self.record.index, self.grant.index];
        let proven = self
            .status
            .verify(&indices, latest.size_before, &latest.status_root)
            .map_err(NotVerified::Status)?;
        let [record, grant] = indices.map(|i| proven.of(i).expect("verify() found the chunk of each index"));
        Ok((record, grant))
    }

    /// Place and hash of each leaf under the multiproof, ascending; headers and heads may be one leaf.
    ///
    /// # Errors
    /// [`NotVerified::Places`] where two different ones have one place.
    pub fn log_leaves(&self) -> Result<Vec<(u64, Hash)>, NotVerified> {
        let mut leaves = BTreeMap::new();
        let own = [&self.grant, &self.batch_head, &self.record, &self.header, &self.latest_header];
        let changes = self.changes.iter().flat_map(|c| [&c.record, &c.batch_head, &c.header]);
        for leaf in own.into_iter().chain(changes) {
            let hash = log::leaf_hash(&leaf.bytes);
            if leaves.insert(leaf.index.0, hash).is_some_and(|other| other != hash) {
                return Err(NotVerified::Places("two different leaves have the same place"));
            }
        }
        Ok(leaves.into_iter().collect())
    }
}

impl Leaves {
    fn decode(receipt: &Receipt) -> Result<Self, NotVerified> {
        let record = decode("record", &receipt.record, Leaf::into_record)?;
        let grant = decode("grant", &receipt.grant, Leaf::into_record)?;
        let Record::Anchor(anchor) = record else { return Err(NotVerified::NotAnAnchor) };
        let Record::IssuerGrant(grant) = grant else { return Err(NotVerified::NotAGrant) };
        Ok(Self {
            anchor,
            head: decode("batch head", &receipt.batch_head, Leaf::into_batch_head)?,
            grant,
            header: decode("header", &receipt.header, Leaf::into_header)?,
            latest: decode("latest header", &receipt.latest_header, Leaf::into_header)?,
            changes: receipt.changes.iter().map(Change::decode).collect::<Result<_, _>>()?,
        })
    }
}

pub(super) fn decode<T>(
    part: &'static str,
    leaf: &PlacedLeaf,
    kind: impl FnOnce(Leaf) -> Result<T, DecodeError>,
) -> Result<T, NotVerified> {
    Leaf::decode(&leaf.bytes).and_then(kind).map_err(|source| NotVerified::Decode { part, source })
}

/// The document is the one the record commits to.
fn check_document(
    anchor: &Anchor,
    salt: Option<&Salt>,
    document: &DocumentDigest,
) -> Result<(), NotVerified> {
    let salt = salt.ok_or(NotVerified::NoSalt)?;
    if anchor.public != (*salt == Salt::PUBLIC) {
        return Err(NotVerified::SaltKind);
    }
    if anchor.commitment == Commitment::of(salt, document) {
        Ok(())
    } else {
        Err(NotVerified::AnotherDocument)
    }
}

/// Reads a checkpoint that a quorum of `set` cosigned. Every line in it must be an authority's of that set.
fn open_checkpoint(
    trust: &TrustRoot,
    set: &AuthoritySet,
    text: &str,
    verdict: Verdict<'_>,
) -> Result<(SignedCheckpoint, QuorumCount), NotVerified> {
    let signed = SignedCheckpoint::parse(text.as_bytes())?;
    if signed.checkpoint().origin() != trust.genesis.origin {
        return Err(NotVerified::AnotherLedger);
    }
    let cosigners = set.cosigners(&trust.genesis.origin);
    let stranger = |line: &&crate::note::NoteSignature| !cosigners.iter().any(|vkey| line.is_by(vkey));
    if let Some(line) = signed.note().signatures().iter().find(stranger) {
        return Err(NotVerified::Stranger(line.name.as_str().into()));
    }
    let count = signed.count_with(&cosigners, set.quorum(), verdict)?;
    Ok((signed, count))
}

fn voucher(set: &AuthoritySet, number: usize) -> Voucher {
    let authority = &set.authorities()[number];
    Voucher { id: authority.id.clone(), name: authority.name.clone() }
}

/// Why a handover does not count: in words, to which its number is added, or as found by a shared check.
enum HandoverFailure {
    Why(&'static str),
    Other(NotVerified),
}

impl Handover {
    /// The next set and the size of the log at the change, where a quorum of `old` vouches for both.
    fn verify(
        &self,
        trust: &TrustRoot,
        old: &AuthoritySet,
        verdict: Verdict<'_>,
    ) -> Result<(AuthoritySet, LogSize), HandoverFailure> {
        use HandoverFailure::{Other, Why};
        let header = decode("header of a handover", &self.header, Leaf::into_header).map_err(Other)?;
        let next = AuthoritySet::decode(&self.next)
            .map_err(|source| Other(NotVerified::Decode { part: "authorities of a handover", source }))?;
        let (signed, _) = open_checkpoint(trust, old, &self.checkpoint, verdict).map_err(Other)?;
        let size = signed.checkpoint().size();
        let require = |holds: bool, why| if holds { Ok(()) } else { Err(Why(why)) };
        require(header.epoch == old.epoch(), "its block is not of the epoch it ends")?;
        require(next.epoch() == old.epoch().next(), "it does not lead to the next epoch")?;
        require(header.authority_set == next.hash(), "its header names other authorities")?;
        require(self.header.index == header.index(), "its header is not where it says")?;
        require(
            Some(header.index().0) == size.0.checked_sub(1),
            "its header is not the last leaf of its checkpoint",
        )?;
        let leaf = (self.header.index.0, log::leaf_hash(&self.header.bytes));
        multiproof::verify(&[leaf], size.0, &self.proof, &signed.checkpoint().root())
            .map_err(|_| Why("its header is not in the log that the authorities signed"))?;
        Ok((next, size))
    }
}
