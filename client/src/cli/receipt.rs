//! `markstein receipt`.

use std::path::Path;

use anyhow::Result;
use markstein_client::{receipts, text::safe, time::rfc3339};
use markstein_proto::{Author, Leaf, Record, receipt::Receipt};
use serde_json::{Map, Value};

use super::output::Output;

/// Shows what a receipt says.
pub fn show(file: &Path, output: Output) -> Result<u8> {
    let receipt = receipts::read(file)?;
    let entries = entries(&receipt);
    output.line("What this receipt says. Nothing of it is checked: use `markstein verify` for that.");
    for (name, value) in &entries {
        output.line(format!("  {name:14} {}", safe(value)));
    }
    output.line("  checkpoint");
    receipt.checkpoint.lines().for_each(|line| output.line(format!("    {}", safe(line))));
    let mut json = Map::from_iter([("checked".to_owned(), Value::Bool(false))]);
    json.extend(entries.into_iter().map(|(name, value)| (name.replace(' ', "_"), value.into())));
    json.insert("checkpoint".into(), receipt.checkpoint.into());
    output.answer(&json);
    Ok(0)
}

fn entries(receipt: &Receipt) -> Vec<(&'static str, String)> {
    let mut entries = vec![
        ("record", receipt.record.index.to_string()),
        ("salt", if receipt.salt.is_some() { "present" } else { "missing" }.into()),
    ];
    if let Ok(Leaf::Record(Record::Anchor(anchor))) = Leaf::decode(&receipt.record.bytes) {
        entries.push(("commitment", anchor.commitment.0.to_string()));
        entries.push(("public", anchor.public.to_string()));
        entries.push(("type code", anchor.document_type.to_string()));
        entries.extend(anchor.valid_until.map(|end| ("valid until", rfc3339(end))));
    }
    if let Ok(Leaf::BatchHead(head)) = Leaf::decode(&receipt.batch_head.bytes) {
        entries.push(("ledger", head.ledger.to_string()));
        entries.push(("batch", head.id().to_string()));
        entries.push(("signed at", rfc3339(head.created_at)));
        if let Author::Issuer { issuer, key } = head.author {
            entries.push(("issuer", issuer.to_string()));
            entries.push(("key", key.to_string()));
        }
    }
    if let Ok(Leaf::Record(Record::IssuerGrant(grant))) = Leaf::decode(&receipt.grant.bytes) {
        entries.push(("issuer name", grant.name));
    }
    if let Ok(Leaf::Header(header)) = Leaf::decode(&receipt.header.bytes) {
        entries.push(("block", header.height.to_string()));
        entries.push(("anchored at", rfc3339(header.time)));
    }
    if let Ok(Leaf::Header(header)) = Leaf::decode(&receipt.latest_header.bytes) {
        entries.push(("newest block", header.height.to_string()));
    }
    entries.push(("handovers", receipt.handovers.len().to_string()));
    entries
}
