//! What of the genesis an auditor holds every batch and header against.

use std::collections::HashMap;

use markstein_proto::{Genesis, Hash, Header, IssuerGrant, IssuerId, LedgerId, View, receipt::TrustRoot};

/// Most bytes of the batches of a block.
pub(super) const BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most records of a block.
pub(super) const BLOCK_RECORDS_MAX: usize = 50_000;
/// Most batches of a block.
pub(super) const BLOCK_BATCHES_MAX: usize = 4096;

/// The rules of one ledger.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) ledger: LedgerId,
    /// Leaf hashes of block 0.
    pub(super) first_block: Vec<Hash>,
    pub(super) first_header: Header,
    authorities: u64,
    document_types: Vec<u32>,
    issuers: Vec<IssuerGrant>,
    numbers: HashMap<IssuerId, u32>,
}

impl Rules {
    pub(super) fn new(trust: &TrustRoot) -> Self {
        let genesis: &Genesis = trust.genesis();
        let header = genesis.header();
        let issuers = genesis.grants.clone();
        let numbers = (0..).zip(&issuers).map(|(number, grant)| (grant.issuer.clone(), number)).collect();
        Self {
            ledger: trust.ledger_id(),
            first_block: genesis.batch().leaf_hashes().chain([header.block_id()]).collect(),
            first_header: header,
            authorities: genesis.authorities.authorities().len() as u64,
            document_types: genesis.parameters.document_types.iter().map(|t| t.code).collect(),
            issuers,
            numbers,
        }
    }

    pub(super) fn number_of(&self, issuer: &IssuerId) -> Option<u32> {
        self.numbers.get(issuer).copied()
    }

    /// The grant in force of an issuer, by its number.
    pub(super) fn grant(&self, number: u32) -> &IssuerGrant {
        &self.issuers[number as usize]
    }

    pub(super) fn issuers(&self) -> &[IssuerGrant] {
        &self.issuers
    }

    /// Whether an issuer may anchor documents of this type.
    pub(super) fn covers(&self, number: u32, document_type: u32) -> bool {
        self.document_types.binary_search(&document_type).is_ok() && self.grant(number).covers(document_type)
    }

    /// Whose turn a view is: the authorities lead in the order of the genesis, from view 1.
    pub(super) const fn leader(&self, view: View) -> u32 {
        (view.0.wrapping_sub(1) % self.authorities) as u32
    }
}
