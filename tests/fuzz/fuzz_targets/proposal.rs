//! A proposal: what is accepted is the one canonical encoding, and so is every part by itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_proto::consensus::{Certificate, Proposal, Vote};

fuzz_target!(|bytes: &[u8]| {
    let Ok(proposal) = Proposal::decode(bytes) else { return };
    assert_eq!(proposal.encode(), bytes);
    assert_eq!(Vote::decode(&proposal.vote.encode()).as_ref(), Ok(&proposal.vote));
    for certificate in proposal.parent.iter().chain(&proposal.nullifications) {
        assert_eq!(Certificate::decode(&certificate.encode()).as_ref(), Ok(certificate));
    }
});
