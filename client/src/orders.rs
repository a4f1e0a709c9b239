//! From what somebody named to the records that are meant, as far as this machine can tell: no node is asked.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use markstein_proto::{
    BatchId, Commitment, Hash, LeafIndex, LogSize, Salt,
    receipt::{NotVerified, RECEIPT_MAX, Receipt, TrustRoot, VerifiedRecord},
};
use rayon::prelude::*;

use crate::{
    batches::Renewal,
    changes::Wish,
    hash::{HashError, digest_file},
    receipts::{self, ReadError},
    scan::{RECEIPT_SUFFIX, receipt_beside},
};

/// What somebody wants of one record.
#[derive(Clone, Debug)]
pub struct Order {
    /// Where it stands, to tell people.
    pub label: Label,
    /// What is wanted.
    pub wish: Wish,
    /// Of which record.
    pub place: Place,
    /// The receipts of that record that are at hand.
    pub renewals: Vec<Renewal>,
}

/// What people call an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// The number of its line, or its place among the arguments, from 1.
    pub number: usize,
    /// As it was named.
    pub name: String,
}

/// Which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The one at this place of the log.
    Record {
        /// The place.
        index: LeafIndex,
        /// A log of this size was seen, which holds it; 0 where nothing was.
        seen: LogSize,
        /// Its batch and its number in it, where a receipt shows them.
        batch: Option<(BatchId, u32)>,
    },
    /// One that anybody with its document can look up.
    Public(Commitment),
}

/// An order that cannot be followed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untaken {
    /// Which one.
    pub label: Label,
    /// The reason, a sentence.
    pub why: String,
}

/// How records are found.
#[derive(Clone, Copy, Debug)]
pub struct Finder<'a> {
    /// The ledger.
    pub trust: &'a TrustRoot,
    /// Documents without a receipt were anchored without a salt, and may be asked for by their commitment.
    pub public: bool,
    /// New receipts go into this folder, not in the place of the old ones.
    pub receipts: Option<&'a Path>,
}

/// Why a word names no record.
#[derive(Debug, thiserror::Error)]
enum NotFound {
    #[error(
        "it names a record and a file that is here: write ./{0} for the file, or call this from another folder"
    )]
    Both(String),
    #[error(
        "there is no receipt {} beside it: name its receipt, or the number of its record; --look-up finds a \
         document that was anchored with --public",
        .0.display()
    )]
    NoReceipt(PathBuf),
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the document {0}")]
    Document(#[from] HashError),
    #[error("its receipt does not verify: {0}")]
    NotVerified(#[from] NotVerified),
    #[error("the new receipt would go to {}, which is there already and of another record", .0.display())]
    InTheWay(PathBuf),
}

/// Finds the records that all these words mean, each of them with its label and what is wanted.
///
/// A word is the number of a record (its place in the log), the commitment of a public one (64 hex digits), or a file: a
/// receipt, or a document with its receipt beside it.
#[must_use]
pub fn find_all(words: Vec<(Label, Wish)>, finder: Finder<'_>) -> (Vec<Order>, Vec<Untaken>) {
    let find = |(label, wish): (Label, Wish)| match finder.find(&label.name) {
        Ok((place, renewals)) => Ok(Order { label, wish, place, renewals }),
        Err(e) => Err(Untaken { label, why: e.to_string() }),
    };
    let found: Vec<Result<Order, Untaken>> = words.into_par_iter().map(find).collect();
    let (mut orders, mut untaken) = (Vec::with_capacity(found.len()), Vec::new());
    let mut targets: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for order in found {
        match order.and_then(|order| apart(&mut targets, order)) {
            Ok(order) => orders.push(order),
            Err(other) => untaken.push(other),
        }
    }
    (orders, untaken)
}

/// No two receipts are to be written to one place.
fn apart(targets: &mut BTreeMap<PathBuf, PathBuf>, order: Order) -> Result<Order, Untaken> {
    for Renewal { like, receipt, .. } in &order.renewals {
        let first = targets.entry(receipt.clone()).or_insert_with(|| like.clone());
        if first != like {
            let (first, receipt) = (first.display(), receipt.display());
            let why = format!("its new receipt and that of {first} would both go to {receipt}");
            return Err(Untaken { label: order.label, why });
        }
    }
    Ok(order)
}

impl Finder<'_> {
    fn find(&self, word: &str) -> Result<(Place, Vec<Renewal>), NotFound> {
        let both = || if Path::new(word).exists() { Err(NotFound::Both(word.into())) } else { Ok(()) };
        if let Some(index) = number(word) {
            both()?;
            return Ok((Place::Record { index, seen: LogSize(0), batch: None }, Vec::new()));
        }
        if let Some(commitment) = commitment(word) {
            both()?;
            return Ok((Place::Public(commitment), Vec::new()));
        }
        let path = std::path::absolute(word)?;
        if path.as_os_str().as_encoded_bytes().ends_with(RECEIPT_SUFFIX.as_bytes()) {
            return self.of_receipt(&path, &receipts::read(&path)?);
        }
        let beside = receipt_beside(&path);
        if beside.symlink_metadata().is_ok() {
            let receipt = receipts::read(&beside)?;
            receipt.verify(self.trust, &digest_file(&path)?)?;
            return self.of_receipt(&beside, &receipt);
        }
        let metadata = path.metadata()?;
        if metadata.is_file()
            && metadata.len() <= RECEIPT_MAX as u64
            && let Ok(receipt) = receipts::read(&path)
        {
            return self.of_receipt(&path, &receipt); // whatever its name is
        }
        if !self.public {
            return Err(NotFound::NoReceipt(beside));
        }
        let commitment = Commitment::of(&Salt::PUBLIC, &digest_file(&path)?);
        let receipt = self.target(&beside);
        if receipt.symlink_metadata().is_ok() {
            return Err(NotFound::InTheWay(receipt));
        }
        let renewal = Renewal { like: path, receipt, salt: Some(Salt::PUBLIC) };
        Ok((Place::Public(commitment), vec![renewal]))
    }

    fn of_receipt(&self, path: &Path, receipt: &Receipt) -> Result<(Place, Vec<Renewal>), NotFound> {
        let VerifiedRecord { facts, .. } = receipt.verify_record(self.trust)?;
        let target = self.target(path);
        let same =
            || target.is_file() && receipts::read(&target).is_ok_and(|old| old.record == receipt.record);
        if target != path && target.symlink_metadata().is_ok() && !same() {
            return Err(NotFound::InTheWay(target));
        }
        let renewal = Renewal { like: path.into(), receipt: target, salt: receipt.salt };
        let place =
            Place::Record { index: facts.index, seen: facts.log_size, batch: receipts::place_of(receipt) };
        Ok((place, vec![renewal]))
    }

    /// Where the new receipt goes in place of this one.
    fn target(&self, receipt: &Path) -> PathBuf {
        match (self.receipts, receipt.file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => receipt.into(),
        }
    }
}

fn number(word: &str) -> Option<LeafIndex> {
    let digits = !word.is_empty() && word.len() < 20 && word.bytes().all(|b| b.is_ascii_digit());
    if digits { word.parse().ok().map(LeafIndex) } else { None }
}

fn commitment(word: &str) -> Option<Commitment> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(word, &mut bytes).ok().map(|()| Commitment(Hash(bytes)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use markstein_proto::Reason;

    use super::*;
    use crate::testing::{Ledger, NOW, digest, entry};

    /// A folder with the documents `a` and `b` and their receipts.
    fn anchored() -> (Ledger, tempfile::TempDir) {
        let (mut ledger, dir) = (Ledger::new(), tempfile::tempdir().unwrap());
        let entry = entry(&["a", "b"], NOW);
        ledger.append(entry.batch(), NOW);
        for (mut receipt, record) in ledger.receipts(entry.batch().id()).into_iter().zip(entry.records()) {
            let paper = record.paper.as_ref().unwrap();
            receipt.salt = Some(paper.salt);
            let name = if paper.digest == digest("a") { "a" } else { "b" };
            fs::write(dir.path().join(name), name).unwrap();
            fs::write(dir.path().join(format!("{name}.markstein.json")), receipt.to_json()).unwrap();
        }
        (ledger, dir)
    }

    fn find(
        ledger: &Ledger,
        words: &[&Path],
        public: bool,
        folder: Option<&Path>,
    ) -> (Vec<Order>, Vec<Untaken>) {
        let label = |(i, word): (usize, &&Path)| Label { number: i + 1, name: word.to_str().unwrap().into() };
        let wish = Wish::Revoke(Reason::Other);
        let words = words.iter().enumerate().map(|word| (label(word), wish)).collect();
        find_all(words, Finder { trust: ledger.trust(), public, receipts: folder })
    }

    #[test]
    fn a_record_is_named_by_receipt_document_number_or_commitment() {
        let (ledger, dir) = anchored();
        let at = |name: &str| dir.path().join(name);
        fs::copy(at("b.markstein.json"), at("moved.json")).unwrap();
        let hex = "0f".repeat(32);
        let words =
            [&at("a.markstein.json"), &at("a"), &at("moved.json"), Path::new("4711"), Path::new(&hex)];
        let (orders, untaken) = find(&ledger, &words.map(AsRef::as_ref), false, None);
        assert_eq!(untaken, []);
        assert_eq!(orders[0].place, orders[1].place, "a receipt and its document mean one record");
        assert_eq!(orders[0].renewals, orders[1].renewals);
        assert!(matches!(orders[2].place, Place::Record { seen, .. } if seen.0 > 3));
        assert!(orders[2].renewals[0].salt.is_some() && orders[2].renewals[0].receipt == at("moved.json"));
        assert_eq!(orders[3].place, Place::Record { index: LeafIndex(4711), seen: LogSize(0), batch: None });
        assert_eq!(orders[4].place, Place::Public(Commitment(Hash([15; 32]))));
    }

    #[test]
    fn a_document_is_asked_for_by_its_content_only_where_somebody_says_so() {
        let (ledger, dir) = anchored();
        let form = dir.path().join("form");
        fs::write(&form, "form").unwrap();
        let (_, untaken) = find(&ledger, &[&form], false, None);
        assert!(untaken[0].why.contains("no receipt") && untaken[0].why.contains("--look-up"), "{untaken:?}");
        let (orders, _) = find(&ledger, &[&form], true, None);
        assert_eq!(orders[0].place, Place::Public(Commitment::of(&Salt::PUBLIC, &digest("form"))));
        assert_eq!(orders[0].renewals[0].salt, Some(Salt::PUBLIC));
    }

    #[test]
    fn what_is_wrong_is_told_of_each() {
        let (ledger, dir) = anchored();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a"), "changed").unwrap();
        fs::write(at("c.markstein.json"), "{}").unwrap();
        let other = fs::read_to_string(at("b.markstein.json")).unwrap();
        fs::write(at("d.markstein.json"), other.replace("neustadt.example/test", "other.example/test"))
            .unwrap();
        fs::create_dir(at("e")).unwrap();
        let words = [at("a"), at("b"), at("c.markstein.json"), at("d.markstein.json"), at("e"), at("gone")];
        let (orders, untaken) = find(&ledger, &words.each_ref().map(AsRef::as_ref), true, None);
        assert_eq!(orders.len(), 1);
        let told: Vec<_> = untaken.iter().map(|u| (u.label.number, u.why.as_str())).collect();
        for ((number, why), (expected, part)) in told.iter().zip([
            (1, "not the document that was anchored"),
            (3, "not a Markstein receipt"),
            (4, "does not verify"),
            (5, "document"),
            (6, "No such file"),
        ]) {
            assert!(*number == expected && why.contains(part), "{told:?}");
        }
        assert_eq!(told.len(), 5);
    }

    #[test]
    fn new_receipts_may_go_elsewhere_and_never_over_another_one() {
        let (ledger, dir) = anchored();
        let (at, out) = (|name: &str| dir.path().join(name), dir.path().join("new"));
        let (orders, _) = find(&ledger, &[&at("a"), &at("b.markstein.json")], false, Some(&out));
        assert_eq!(orders[0].renewals[0].receipt, out.join("a.markstein.json"));
        assert_eq!(orders[1].renewals[0].like, at("b.markstein.json"));
        fs::create_dir_all(at("new")).unwrap();
        fs::create_dir_all(at("sub")).unwrap();
        fs::copy(at("b.markstein.json"), out.join("a.markstein.json")).unwrap();
        fs::copy(at("b.markstein.json"), at("sub/b.markstein.json")).unwrap();
        let words = [at("a"), at("b"), at("sub/b.markstein.json")];
        let (orders, untaken) = find(&ledger, &words.each_ref().map(AsRef::as_ref), false, Some(&out));
        assert_eq!(orders.len(), 1);
        assert!(untaken[0].why.contains("of another record"), "{untaken:?}");
        assert!(untaken[1].why.contains("would both go to"), "{untaken:?}");
    }
}
