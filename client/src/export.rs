//! Receipts and trust roots in formats that other people's tools read: those of C2SP here, COSE receipts in `cose`.

use std::fmt::Write;

use markstein_proto::{
    AuthoritySet, Genesis,
    cose::key_set,
    encoding::base64_encode,
    note::{NoteSignature, SignedCheckpoint},
    receipt::{NotVerified, Receipt, ReceiptError, TrustRoot},
};

use crate::{connect::GrpcNode, node::NodeError};

/// How often a node is asked again for a receipt and a checkpoint of the same size, while its log grows.
const ATTEMPTS: usize = 20;
/// The name of the group of all authorities in a policy; no authority's id is in capitals.
const QUORUM: &str = "QUORUM";

/// Why something cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The receipt does not hold together.
    #[error(transparent)]
    NotVerified(#[from] NotVerified),
    /// The node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// What the node sent is no receipt.
    #[error("the node sent no receipt: {0}")]
    Receipt(#[from] ReceiptError),
    /// It is a receipt, but of something else.
    #[error("the node's receipt is of another record: this receipt is not of that ledger, or the node lies")]
    AnotherRecord,
    /// A checkpoint is none of this ledger.
    #[error("the checkpoint is of another ledger than the genesis")]
    AnotherLedger,
    /// No line of the log can be trusted.
    #[error("no authority's line of the log on the newest checkpoint is good: ask another node")]
    NoLogLine,
    /// Handovers lead beyond what a policy made from the genesis knows.
    #[error(
        "the authorities have changed since the genesis, and what is exported by it does not know the new ones"
    )]
    AnotherEpoch,
    /// The log grew each time.
    #[error("the log grows too fast to take its newest checkpoint: try again in a moment")]
    Growing,
}

/// The receipt's record as a C2SP tlog-proof: index, path, checkpoint; the record's canonical leaf as extra data.
///
/// # Errors
/// [`ExportError::NotVerified`] where the record does not lead to the checkpoint's root.
pub fn tlog_proof(receipt: &Receipt) -> Result<String, ExportError> {
    let (_, signed) = receipt.record_path()?;
    proof_under(receipt, &signed)
}

/// The same under a checkpoint of the same log with other lines.
fn proof_under(receipt: &Receipt, signed: &SignedCheckpoint) -> Result<String, ExportError> {
    let (path, _) = receipt.record_path()?;
    let mut text = format!(
        "c2sp.org/tlog-proof@v1\nextra {}\nindex {}\n",
        base64_encode(&receipt.record.bytes),
        receipt.record.index
    );
    for hash in path {
        text += &base64_encode(&hash.0);
        text.push('\n');
    }
    text.push('\n');
    text += &signed.to_string();
    Ok(text)
}

/// The proof of a receipt's record under the newest checkpoint of a node, with the lines of the log; all of it checked.
///
/// # Errors
/// See [`ExportError`].
pub async fn newest_tlog_proof(
    receipt: &Receipt,
    node: &GrpcNode,
    trust: &TrustRoot,
) -> Result<String, ExportError> {
    for _ in 0..ATTEMPTS {
        let (fresh, text) = tokio::try_join!(node.receipt_at(receipt.record.index), node.checkpoint())?;
        let fresh = Receipt::from_json(&fresh)?;
        if fresh.record != receipt.record {
            return Err(ExportError::AnotherRecord);
        }
        if !fresh.handovers.is_empty() {
            return Err(ExportError::AnotherEpoch);
        }
        let (_, signed) = fresh.record_path()?;
        let full = SignedCheckpoint::parse(text.as_bytes()).map_err(NotVerified::from)?;
        if full.checkpoint() == signed.checkpoint() {
            check(&full, trust)?;
            return proof_under(&fresh, &of_authorities(&full, trust)?);
        }
    }
    Err(ExportError::Growing)
}

/// It is of this ledger, and a quorum cosigned it.
pub(crate) fn check_quorum(signed: &SignedCheckpoint, trust: &TrustRoot) -> Result<(), ExportError> {
    let Genesis { origin, authorities: set, .. } = trust.genesis();
    if signed.checkpoint().origin() != origin {
        return Err(ExportError::AnotherLedger);
    }
    signed.count(&set.cosigners(origin), set.quorum()).map_err(NotVerified::from)?;
    Ok(())
}

/// The same, and somebody signed it for the log: what a policy will ask for.
fn check(signed: &SignedCheckpoint, trust: &TrustRoot) -> Result<(), ExportError> {
    check_quorum(signed, trust)?;
    let Genesis { origin, authorities: set, .. } = trust.genesis();
    let mut keys = set.authorities().iter().map(|authority| authority.log_vkey(origin));
    let is_signed = keys.any(|vkey| signed.note().verify_ed25519(&vkey).is_ok());
    if is_signed { Ok(()) } else { Err(ExportError::NoLogLine) }
}

/// The lines of authorities only: what others write under it, or a node in their name, is no part of a proof.
fn of_authorities(signed: &SignedCheckpoint, trust: &TrustRoot) -> Result<SignedCheckpoint, ExportError> {
    let Genesis { origin, authorities: set, .. } = trust.genesis();
    let cosigners = set.cosigners(origin);
    let is_log_line = |line: &&NoteSignature| {
        let alone = SignedCheckpoint::with_signatures(signed.checkpoint().clone(), [(*line).clone()]);
        let is_signed = |vkey| alone.as_ref().is_ok_and(|it| it.note().verify_ed25519(&vkey).is_ok());
        set.authorities().iter().any(|authority| is_signed(authority.log_vkey(origin)))
    };
    let lines = signed.note().signatures().iter();
    let lines = lines.filter(|line| cosigners.iter().any(|key| line.is_by(key)) || is_log_line(line));
    let lines = SignedCheckpoint::with_signatures(signed.checkpoint().clone(), lines.cloned());
    Ok(lines.map_err(NotVerified::from)?)
}

/// The authorities of a genesis as a C2SP tlog-policy: each is a log's key and a witness, and a quorum must witness.
#[must_use]
pub fn tlog_policy(genesis: &Genesis) -> String {
    let set: &AuthoritySet = &genesis.authorities;
    let mut text = format!("# Ledger {}\n", genesis.ledger_id());
    let mut line = |line: std::fmt::Arguments<'_>| {
        text.write_fmt(line).expect("a String takes everything");
    };
    for authority in set.authorities() {
        line(format_args!("log {}\n", authority.log_vkey(&genesis.origin)));
    }
    for authority in set.authorities() {
        line(format_args!("witness {} {}\n", authority.id, authority.cosigner(&genesis.origin)));
    }
    line(format_args!("group {QUORUM} {}", set.quorum()));
    for authority in set.authorities() {
        line(format_args!(" {}", authority.id));
    }
    line(format_args!("\nquorum {QUORUM}\n"));
    text
}

/// The log keys of a genesis as a COSE_KeySet: what COSE receipts are checked with.
#[must_use]
pub fn cose_keys(genesis: &Genesis) -> Vec<u8> {
    let keys = genesis.authorities.authorities().iter().map(|authority| authority.log_key);
    key_set(&keys.collect::<Vec<_>>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::{
        Hash,
        encoding::{base64_decode, base64_hash},
        log::{leaf_hash, verify_inclusion},
        note::Vkey,
    };

    use super::*;
    use crate::testing::{Ledger, NOW, entry};

    fn receipt() -> (Ledger, Receipt) {
        let mut ledger = Ledger::new();
        let entry = entry(&["a", "b", "c", "d", "e"], NOW);
        ledger.append(entry.batch(), NOW);
        let receipt = ledger.receipts(entry.batch().id()).remove(3);
        (ledger, receipt)
    }

    #[test]
    fn a_strangers_line_is_no_part_of_a_proof() {
        let (ledger, receipt) = receipt();
        let signed = SignedCheckpoint::parse(receipt.checkpoint.as_bytes()).unwrap();
        let stranger = receipt.checkpoint.lines().last().unwrap().replacen("— ", "— \u{202e}", 1);
        let in_the_logs_name = {
            let vkey =
                ledger.trust().genesis().authorities.authorities()[0].log_vkey("neustadt.example/test");
            let text = vkey.to_string();
            let [name, hash, _] = text.splitn(3, '+').collect::<Vec<_>>()[..] else { panic!("{text}") };
            let bytes = [hex::decode(hash).unwrap(), vec![7; 64]].concat();
            format!("— {name} {}", base64_encode(&bytes))
        };
        let text = format!("{}{stranger}\n{in_the_logs_name}\n", receipt.checkpoint);
        let full = SignedCheckpoint::parse(text.as_bytes()).unwrap();
        assert_eq!(full.note().signatures().len(), signed.note().signatures().len() + 2);
        assert_eq!(of_authorities(&full, ledger.trust()).unwrap(), signed);
    }

    #[test]
    fn a_proof_is_read_by_its_specification_alone() {
        let (_, receipt) = receipt();
        let text = tlog_proof(&receipt).unwrap();
        assert!(text.len() < 2560, "{} bytes", text.len());
        let (head, note) = text.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
        let leaf = base64_decode(lines.next().unwrap().strip_prefix("extra ").unwrap(), 1 << 14).unwrap();
        let index: u64 = lines.next().unwrap().strip_prefix("index ").unwrap().parse().unwrap();
        let path: Vec<Hash> = lines.map(|line| base64_hash(line).unwrap()).collect();
        let signed = SignedCheckpoint::parse(note.as_bytes()).unwrap();
        let checkpoint = signed.checkpoint();
        let check = |leaf: &[u8], path: &[Hash]| {
            verify_inclusion(&leaf_hash(leaf), index, checkpoint.size().0, path, &checkpoint.root())
        };
        assert_eq!(check(&leaf, &path), Ok(()));
        assert!(check(&leaf[1..], &path).is_err());
        assert!(check(&leaf, &path[1..]).is_err());
    }

    #[test]
    fn a_receipt_that_does_not_hold_together_is_not_exported() {
        let (_, good) = receipt();
        let mut bad = good.clone();
        bad.record.bytes[5] ^= 1;
        assert!(matches!(tlog_proof(&bad), Err(ExportError::NotVerified(NotVerified::Inclusion(_)))));
        let mut bad = good.clone();
        bad.proof.pop();
        assert!(matches!(tlog_proof(&bad), Err(ExportError::NotVerified(NotVerified::Inclusion(_)))));
        let mut bad = good;
        bad.checkpoint.insert(0, 'x');
        assert!(tlog_proof(&bad).is_ok(), "whose checkpoint it is, its signatures tell");
        bad.checkpoint.clear();
        assert!(matches!(tlog_proof(&bad), Err(ExportError::NotVerified(NotVerified::Checkpoint(_)))));
    }

    #[test]
    fn a_policy_names_each_key_once_and_the_quorum() {
        let (ledger, receipt) = receipt();
        let genesis = ledger.trust().genesis();
        let text = tlog_policy(genesis);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
        let of = |kind: &str| words.iter().filter(|line| line[0] == kind).cloned().collect::<Vec<_>>();
        let n = genesis.authorities.authorities().len();
        assert_eq!((of("log").len(), of("witness").len()), (n, n));
        assert_eq!(Vkey::parse(of("log")[0][1]).unwrap().name().as_str(), genesis.origin);
        let witnesses: Vec<Vkey> = of("witness").iter().map(|line| Vkey::parse(line[2]).unwrap()).collect();
        let [group] = &of("group")[..] else { panic!() };
        assert_eq!(of("quorum"), [["quorum", group[1]]]);
        assert_eq!(group.len() - 3, n, "all are in it");
        let quorum: usize = group[2].parse().unwrap();
        let signed = SignedCheckpoint::parse(receipt.checkpoint.as_bytes()).unwrap();
        signed.count(&witnesses, quorum).unwrap();
    }
}
