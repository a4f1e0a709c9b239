//! Verification of a receipt: a good one with parts changed or exchanged never proves anything else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_fuzz::{bytes::Bytes, receipts::Good};
use markstein_proto::receipt::Receipt;

fuzz_target!(|bytes: &[u8]| {
    let from = &mut Bytes::new(bytes);
    let good = Good::choose(from);
    let mut receipt = good.receipt.clone();
    while !from.is_spent() {
        markstein_fuzz::receipts::change(&mut receipt, from);
    }
    if let Ok(verified) = receipt.verify(&good.trust, &good.document) {
        good.require_same_claims(&receipt, &verified);
        assert_eq!(Receipt::from_json(receipt.to_json().as_bytes()).as_ref(), Ok(&receipt));
    }
});
