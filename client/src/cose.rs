//! COSE receipts of a record: each authority is asked for its own, and what it sends is checked before anybody gets it.

use std::time::Duration;

use markstein_proto::{
    AuthorityId, Genesis, Hash, LeafIndex, LogSize, PublicKey,
    cose::CoseReceipt,
    receipt::{Receipt, TrustRoot},
};

use crate::{
    connect::GrpcNode,
    export::{ExportError, check_quorum},
    node::{Failure, Node, NodeError},
};

/// How often a node is asked that does not know the receipt's checkpoint yet, or is busy.
const ATTEMPTS: u32 = 20;
/// How long to wait for a node that does not know it yet.
const PAUSE: Duration = Duration::from_millis(250);

/// How long at most where it says that it is busy.
const BUSY_MAX: Duration = Duration::from_secs(1);

/// What authorities are asked to sign: the root of the receipt's own checkpoint, so that all sign the same.
#[derive(Clone, Debug)]
pub struct CoseRequest {
    leaf: Vec<u8>,
    index: LeafIndex,
    size: LogSize,
    root: Hash,
    authorities: Vec<(AuthorityId, PublicKey)>,
}

/// A COSE receipt that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedCose {
    /// Who signed it.
    pub authority: AuthorityId,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl CoseRequest {
    /// Of the record of a receipt, whose checkpoint must have its quorum under this trust root.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn new(receipt: &Receipt, trust: &TrustRoot) -> Result<Self, ExportError> {
        if !receipt.handovers.is_empty() {
            return Err(ExportError::AnotherEpoch);
        }
        let (_, signed) = receipt.record_path()?;
        check_quorum(&signed, trust)?;
        let Genesis { authorities: set, .. } = trust.genesis();
        let authorities = set.authorities().iter().map(|it| (it.id.clone(), it.log_key)).collect();
        let (leaf, index) = (receipt.record.bytes.clone(), receipt.record.index);
        let (size, root) = (signed.checkpoint().size(), signed.checkpoint().root());
        Ok(Self { leaf, index, size, root, authorities })
    }

    /// The record's canonical leaf: what the receipts are of.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    /// A node's own receipt, checked.
    ///
    /// # Errors
    /// The node's, [`Failure::Faulty`] where it sends anything else.
    pub async fn ask(&self, node: &GrpcNode) -> Result<CheckedCose, NodeError> {
        let mut attempts = 1;
        let bytes = loop {
            let error = match node.cose_receipt(self.index, self.size).await {
                Ok(bytes) => break bytes,
                Err(error) => error,
            };
            let pause = match error.kind {
                Failure::Busy(pause) => pause.min(BUSY_MAX),
                Failure::Away if error.reason == "NO_CHECKPOINT" => PAUSE,
                _ => return Err(error),
            };
            if attempts == ATTEMPTS {
                return Err(error);
            }
            attempts += 1;
            tokio::time::sleep(pause).await;
        };
        self.check(bytes).map_err(|what| NodeError::new(node.name(), Failure::Faulty, what))
    }

    /// Says what is wrong with bytes that should be an authority's receipt of this record.
    fn check(&self, bytes: Vec<u8>) -> Result<CheckedCose, String> {
        let receipt = CoseReceipt::decode(&bytes).map_err(|e| e.to_string())?;
        let of = |(_, key): &&(AuthorityId, PublicKey)| key.id() == receipt.key;
        let (authority, key) = self.authorities.iter().find(of).ok_or("its key is no authority's")?;
        if (receipt.size, receipt.index) != (self.size, self.index) {
            return Err("it is of another place or another size of the log".into());
        }
        let root = receipt.verify(&self.leaf, key).map_err(|e| e.to_string())?;
        if root != self.root {
            // It signed another root for this size than the quorum did. That is worth being told of in these words.
            return Err(format!(
                "{authority} signed another log than the quorum: {root} in place of {}",
                self.root
            ));
        }
        Ok(CheckedCose { authority: authority.clone(), bytes })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::{SecretKey, cose::sign_root};

    use super::*;
    use crate::testing::{Ledger, NOW, entry};

    fn request() -> (CoseRequest, CoseReceipt) {
        let mut ledger = Ledger::new();
        let entry = entry(&["a", "b", "c", "d", "e"], NOW);
        ledger.append(entry.batch(), NOW);
        let receipt = ledger.receipts(entry.batch().id()).remove(3);
        let mut request = CoseRequest::new(&receipt, ledger.trust()).unwrap();
        let key = SecretKey::from_seed(&[77; 32]);
        request.authorities[0].1 = key.public();
        let (path, _) = receipt.record_path().unwrap();
        let signature = sign_root(&key, &request.root);
        let good =
            CoseReceipt { key: key.public().id(), size: request.size, index: request.index, path, signature };
        (request, good)
    }

    #[test]
    fn only_this_record_under_this_root_by_one_of_the_authorities_is_taken() {
        let (request, good) = request();
        let checked = request.check(good.encode()).unwrap();
        assert_eq!((checked.authority, checked.bytes), (request.authorities[0].0.clone(), good.encode()));
        let refused = |receipt: CoseReceipt| request.check(receipt.encode()).unwrap_err();
        let mut of_another = good.clone();
        of_another.key.0[0] ^= 1;
        assert!(refused(of_another).contains("no authority's"));
        let mut elsewhere = good.clone();
        elsewhere.index.0 ^= 1;
        assert!(refused(elsewhere).contains("another place"));
        let mut larger = good.clone();
        larger.size.0 += 1;
        assert!(refused(larger).contains("another size"));
        let mut unsigned = good.clone();
        unsigned.signature.0[5] ^= 1;
        assert!(refused(unsigned).contains("signature"));
        assert!(request.check(good.encode()[1..].to_vec()).is_err());

        let key = SecretKey::from_seed(&[77; 32]);
        let mut forked = good;
        forked.path[0] = Hash([9; 32]);
        forked.signature = sign_root(&key, &forked.root(&request.leaf).unwrap());
        assert!(refused(forked).contains("signed another log than the quorum"));
    }

    #[test]
    fn a_receipt_without_a_quorum_is_not_asked_for() {
        let mut ledger = Ledger::new();
        let entry = entry(&["a"], NOW);
        ledger.append(entry.batch(), NOW);
        let mut receipt = ledger.receipts(entry.batch().id()).remove(0);
        let trust = ledger.trust();
        receipt.checkpoint = receipt.checkpoint.replace('\u{2014}', "-");
        assert!(matches!(CoseRequest::new(&receipt, trust), Err(ExportError::NotVerified(_))));
    }
}
