//! The log as a verified receipt shows it, and what two such logs have to do with each other.

use std::{collections::BTreeMap, sync::Arc};

use markstein_proto::{
    EpochId, Hash, LeafIndex, LogSize,
    log::{ProofError, earlier_root, verify_consistency},
    note::SignedCheckpoint,
    receipt::{NotVerified, Receipt, TrustRoot, Verified, VerifiedRecord, Voucher},
};

/// A log that a quorum signed. The receipt that shows it is kept, so that it can be shown to others.
#[derive(Clone, Debug)]
pub struct SeenLog {
    /// Without its salt.
    receipt: Arc<Receipt>,
    size: LogSize,
    root: Hash,
    epoch: EpochId,
    as_of_s: u64,
    vouchers: Arc<[Voucher]>,
}

/// Why two logs, each signed by a quorum, cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// They have one size and different roots.
    Roots,
    /// They have different leaves at this place.
    Leaves(LeafIndex),
    /// The longer one begins with other leaves, as a proof shows.
    Beginning,
}

impl SeenLog {
    /// The log of a receipt that verifies; of the document nothing is said.
    ///
    /// # Errors
    /// Where it does not verify.
    pub fn verify(receipt: &Receipt, trust: &TrustRoot) -> Result<(Self, Verified), NotVerified> {
        let (seen, verified) = Self::verify_record(receipt, trust)?;
        Ok((seen, verified.facts))
    }

    /// The same, with all that the receipt proves of the record.
    ///
    /// # Errors
    /// Where it does not verify.
    pub fn verify_record(
        receipt: &Receipt,
        trust: &TrustRoot,
    ) -> Result<(Self, VerifiedRecord), NotVerified> {
        let verified = receipt.verify_record(trust)?;
        let signed = SignedCheckpoint::parse(receipt.checkpoint.as_bytes())?;
        let seen = Self {
            receipt: Arc::new(Receipt { salt: None, ..receipt.clone() }),
            size: verified.facts.log_size,
            root: signed.checkpoint().root(),
            epoch: verified.facts.epoch,
            as_of_s: verified.facts.as_of_s,
            vouchers: verified.facts.vouchers.as_slice().into(),
        };
        Ok((seen, verified))
    }

    /// The receipt that shows it, without its salt.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Its number of leaves.
    #[must_use]
    pub const fn size(&self) -> LogSize {
        self.size
    }

    /// Its root.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// Whose authorities signed it.
    #[must_use]
    pub const fn epoch(&self) -> EpochId {
        self.epoch
    }

    /// The time at which a quorum had seen nothing newer, in seconds since 1970.
    #[must_use]
    pub const fn as_of_s(&self) -> u64 {
        self.as_of_s
    }

    /// Who signed it.
    #[must_use]
    pub fn vouchers(&self) -> &[Voucher] {
        &self.vouchers
    }

    /// Who signed this log and that one.
    #[must_use]
    pub fn signed_both(&self, other: &Self) -> Vec<Voucher> {
        self.vouchers.iter().filter(|one| other.vouchers.contains(one)).cloned().collect()
    }

    /// Whether this is a newer view of the ledger: a longer log, or the same one as of a later time.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.size, self.as_of_s) > (other.size, other.as_of_s)
    }

    /// What shows by itself that the two logs are not one.
    #[must_use]
    pub fn conflict(&self, other: &Self) -> Option<Conflict> {
        // A receipt that verified has one leaf at each place.
        let leaves = |log: &Self| log.receipt.log_leaves().unwrap_or_default();
        if self.size == other.size {
            return (self.root != other.root).then_some(Conflict::Roots);
        }
        let others: BTreeMap<u64, Hash> = leaves(other).into_iter().collect();
        let differs = |(index, hash): &(u64, Hash)| others.get(index).is_some_and(|other| other != hash);
        leaves(self).into_iter().find(differs).map(|(index, _)| Conflict::Leaves(LeafIndex(index)))
    }

    /// What a proof shows that was to link this log with the newer one: that the newer one begins with another log.
    #[must_use]
    pub fn conflict_shown(&self, newer: &Self, proof: &[Hash]) -> Option<Conflict> {
        let shown = earlier_root(self.size.0, newer.size.0, &newer.root, proof).ok()?;
        (shown != self.root).then_some(Conflict::Beginning)
    }

    /// Checks that this log is the beginning of the newer one.
    ///
    /// # Errors
    /// Where the proof does not show it.
    pub fn check_extended_by(&self, newer: &Self, proof: &[Hash]) -> Result<(), ProofError> {
        verify_consistency(self.size.0, &self.root, newer.size.0, &newer.root, proof)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::{Ledger, NOW, entry};

    fn seen(ledger: &Ledger, name: &str) -> SeenLog {
        let receipt = ledger.receipts(entry(&[name], NOW).batch().id()).remove(0);
        SeenLog::verify(&receipt, ledger.trust()).unwrap().0
    }

    #[test]
    fn one_log_has_no_conflict_and_is_linked_by_its_proof() {
        let (short, long) = (Ledger::with_a_and(&[]), Ledger::with_a_and(&["b", "c"]));
        let (older, newer) = (seen(&short, "a"), seen(&long, "a"));
        assert_eq!(older.conflict(&newer), None);
        assert!(newer.is_newer_than(&older) && !older.is_newer_than(&newer) && !older.is_newer_than(&older));
        let proof = long.consistency(older.size(), newer.size());
        assert_eq!(older.check_extended_by(&newer, &proof), Ok(()));
        assert!(older.check_extended_by(&newer, &proof[1..]).is_err());
        assert!(newer.check_extended_by(&older, &proof).is_err(), "a log does not shrink");
    }

    #[test]
    fn two_logs_are_told_by_their_roots_or_by_a_leaf() {
        let (b, c, long) =
            (Ledger::with_a_and(&["b"]), Ledger::with_a_and(&["c"]), Ledger::with_a_and(&["c", "d"]));
        assert_eq!(seen(&b, "a").conflict(&seen(&c, "a")), Some(Conflict::Roots));
        let conflict = seen(&b, "b").conflict(&seen(&long, "c")).unwrap();
        assert!(matches!(conflict, Conflict::Leaves(_)), "{conflict:?}");
        assert_eq!(seen(&b, "a").conflict(&seen(&long, "a")), None, "no leaf that both show tells");
        let proof = long.consistency(seen(&b, "a").size(), seen(&long, "a").size());
        let (one, other) = (seen(&b, "a"), seen(&long, "a"));
        assert!(one.check_extended_by(&other, &proof).is_err());
        assert_eq!(one.conflict_shown(&other, &proof), Some(Conflict::Beginning));
        assert_eq!(
            one.conflict_shown(&other, &proof[1..]),
            None,
            "what leads to no signed root shows nothing"
        );
        let extended = Ledger::with_a_and(&["b", "d"]);
        let proof = extended.consistency(one.size(), extended.size());
        assert_eq!(one.conflict_shown(&seen(&extended, "a"), &proof), None);
    }

    #[test]
    fn the_salt_is_not_kept() {
        let ledger = Ledger::with_a_and(&[]);
        let entry = entry(&["a"], NOW);
        let mut receipt = ledger.receipts(entry.batch().id()).remove(0);
        receipt.salt = Some(entry.records()[0].paper.as_ref().unwrap().salt);
        assert_eq!(SeenLog::verify(&receipt, ledger.trust()).unwrap().0.receipt().salt, None);
    }
}
