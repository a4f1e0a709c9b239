//! Every domain tag, in one place.
//!
//! A signature or a keyed hash covers its tag first, so bytes made for one purpose are never good for another.
//! A signed message is `tag ‖ ledger id (32) ‖ canonical message`. Tags end in a zero byte and none is the prefix
//! of another. Votes of the consensus engine start with byte 0xFF, which no UTF-8 text contains, so that no vote
//! can ever be read as a signed note (C2SP signed-note) and the other way round.

/// Signature of an issuer, or of an authority's governance key, over a batch head without its signatures.
pub const BATCH_SIGNATURE: &[u8] = b"markstein/v1/batch-signature\0";
/// Batch id: hash of the batch head without its signatures.
pub const BATCH_ID: &[u8] = b"markstein/v1/batch-id\0";
/// Document commitment: `tag ‖ salt (32) ‖ SHA-256(document)`.
pub const COMMITMENT: &[u8] = b"markstein/v1/commitment\0";
/// Ledger id: hash of the canonical genesis message.
pub const LEDGER_ID: &[u8] = b"markstein/v1/ledger-id\0";
/// Hash of an authority set, named by every block header.
pub const AUTHORITY_SET: &[u8] = b"markstein/v1/authority-set\0";
/// Key id: the first 16 bytes of this hash of a public key.
pub const KEY_ID: &[u8] = b"markstein/v1/key-id\0";
/// A notarize vote of the consensus engine.
pub const VOTE_NOTARIZE: &[u8] = b"\xFFmarkstein/v1/notarize\0";
/// A nullify vote.
pub const VOTE_NULLIFY: &[u8] = b"\xFFmarkstein/v1/nullify\0";
/// A finalize vote.
pub const VOTE_FINALIZE: &[u8] = b"\xFFmarkstein/v1/finalize\0";

/// All tags, for the test that none is the prefix of another.
pub const ALL: &[&[u8]] = &[
    BATCH_SIGNATURE,
    BATCH_ID,
    COMMITMENT,
    LEDGER_ID,
    AUTHORITY_SET,
    KEY_ID,
    VOTE_NOTARIZE,
    VOTE_NULLIFY,
    VOTE_FINALIZE,
];

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn no_tag_is_the_prefix_of_another() {
        for (i, a) in ALL.iter().enumerate() {
            for (k, b) in ALL.iter().enumerate() {
                assert!(i == k || !b.starts_with(a), "{a:?} {b:?}");
            }
        }
    }
}
