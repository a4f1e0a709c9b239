//! `markstein page`.

use anyhow::Result;
use markstein_client::{page, text::safe_path, trust};
use markstein_proto::Hash;

use super::{args::PageArgs, export::write_new, output::Output};

/// Makes the citizens' page as one file and says by what it is known.
pub fn run(args: &PageArgs, output: Output) -> Result<u8> {
    let trust = trust::read_genesis(&args.genesis)?;
    let page = page::single_file(&trust, args.node.as_deref())?;
    let sha256 = Hash::of(&[page.as_bytes()]);
    let Some(path) = args.out.as_deref() else {
        output.raw(page.as_bytes());
        output.note(format!("SHA-256 of the page: {sha256}"));
        return Ok(0);
    };
    write_new(path, page.as_bytes())?;
    output.answer(&serde_json::json!({
        "file": path.to_string_lossy(),
        "sha256": sha256.to_string(),
        "ledger": trust.ledger_id().to_string(),
    }));
    output.line(format!("Wrote {} ({} kB).", safe_path(path), page.len() / 1000));
    output.line(format!("  ledger:  {}", trust.ledger_id()));
    output.line(format!("  SHA-256: {sha256}"));
    output.line("Publish both numbers where people trust you: whoever hands out such a page can hand out a lying one.");
    output.line(
        "Anybody makes the same file, byte for byte, with this release of the program and the same genesis.",
    );
    Ok(0)
}
