//! How the log of today goes on from an earlier one, over gRPC.

use markstein_proto::{Hash, LogSize};

use super::GrpcNode;
use crate::{
    api::{GetConsistencyProofRequest, ledger_client::LedgerClient},
    node::{NodeError, Reader},
};

/// Most hashes of a consistency proof: two for each level of the highest tree.
const PROOF_MAX: usize = 128;

impl Reader for GrpcNode {
    async fn consistency(&self, older: LogSize, newer: LogSize) -> Result<Vec<Hash>, NodeError> {
        let mut client = LedgerClient::new(self.channel.clone());
        let request = GetConsistencyProofRequest { old_size: older.0, new_size: newer.0 };
        let hashes = self.answer(client.get_consistency_proof(self.request(request))).await?.hashes;
        let hashes = hashes.into_iter().take(PROOF_MAX + 1).map(|hash| hash.try_into().map(Hash));
        let hashes: Result<Vec<Hash>, _> = hashes.collect();
        let hashes = hashes.ok().filter(|hashes| hashes.len() <= PROOF_MAX);
        hashes.ok_or_else(|| self.faulty("sent what is no consistency proof"))
    }
}
