//! `markstein keygen`.

use anyhow::Result;
use markstein_client::{keys, text::safe_path, trust};

use super::{args::KeygenArgs, output::Output};

/// Makes the key and says what to do with its two halves.
pub fn run(args: &KeygenArgs, output: Output) -> Result<u8> {
    let ledger = match &args.genesis {
        Some(path) => Some(trust::read_genesis(path)?.ledger_id()),
        None => args.ledger,
    };
    let made = keys::generate(&args.issuer, &args.name, ledger, &args.out)?;
    output.answer(&serde_json::json!({
        "key_id": made.id.to_string(),
        "secret": made.secret.to_string_lossy(),
        "public": made.public.to_string_lossy(),
        "ledger": ledger.map(|id| id.to_string()),
    }));
    output.line(format!("Made key {} of {}.", made.id, args.issuer));
    output.line(format!("  secret: {}  (stays here; make a backup)", safe_path(&made.secret)));
    output.line(format!("  public: {}  (send it to the authorities)", safe_path(&made.public)));
    Ok(0)
}
