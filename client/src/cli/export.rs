//! `markstein receipt export`, `markstein receipt slip` and `markstein genesis export`.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result};
use markstein_client::{
    connect::{Connection, GrpcNode},
    cose::{CheckedCose, CoseRequest},
    export::{ExportError, cose_keys, newest_tlog_proof, tlog_policy, tlog_proof},
    node::NodeError,
    receipts, slip,
    text::safe_path,
    trust,
};
use markstein_proto::receipt::{Receipt, TrustRoot};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    args::{
        GenesisExportArgs, GenesisFormat, ReceiptExportArgs, ReceiptFormat, ReceiptSlipArgs, SlipFormat,
        SlipLanguage, SlipPaper,
    },
    output::Output,
};

/// The record that COSE receipts are of, beside them.
const LEAF: &str = "record.leaf";

/// Exports a receipt.
pub async fn receipt(args: &ReceiptExportArgs, output: Output) -> Result<u8> {
    let receipt = receipts::read(&args.file)?;
    let trust = args.genesis.as_deref().map(trust::read_genesis).transpose()?;
    let nodes = nodes(args)?;
    match (args.format, trust) {
        (ReceiptFormat::Cose, Some(trust)) => {
            let folder = args.out.as_deref().context("name a folder with --out")?;
            cose(&CoseRequest::new(&receipt, &trust)?, nodes, folder, output).await
        }
        (ReceiptFormat::Cose, None) => anyhow::bail!("name the ledger's genesis with --genesis"),
        (ReceiptFormat::TlogProof, Some(trust)) => {
            let text = first_proof(&receipt, &nodes, &trust).await?;
            hand_out(text.as_bytes(), args.out.as_deref(), output)
        }
        (ReceiptFormat::TlogProof, None) => {
            output.note(
                "no line of the log is in this proof: tools that check by a policy want one; see --node",
            );
            hand_out(tlog_proof(&receipt)?.as_bytes(), args.out.as_deref(), output)
        }
    }
}

fn nodes(args: &ReceiptExportArgs) -> Result<Vec<GrpcNode>> {
    let connection = Connection { ca: args.connection.ca.as_deref(), insecure: args.connection.insecure };
    args.node.iter().map(|url| Ok(GrpcNode::new(url, connection)?)).collect()
}

/// The proof of the first node that gives one.
async fn first_proof(receipt: &Receipt, nodes: &[GrpcNode], trust: &TrustRoot) -> Result<String> {
    let mut failed = None;
    for node in nodes {
        match newest_tlog_proof(receipt, node, trust).await {
            Err(error @ ExportError::Node(_)) => failed = Some(error),
            proof => return Ok(proof?),
        }
    }
    Err(failed.map_or_else(|| anyhow::anyhow!("name a node with --node"), Into::into))
}

/// Asks all nodes at once and writes what each gave, in the order in which they were named.
async fn cose(request: &CoseRequest, nodes: Vec<GrpcNode>, folder: &Path, output: Output) -> Result<u8> {
    let request = Arc::new(request.clone());
    let mut asked = JoinSet::new();
    let named = nodes.len();
    for (number, node) in nodes.into_iter().enumerate() {
        let request = Arc::clone(&request);
        asked.spawn(async move { (number, request.ask(&node).await) });
    }
    let mut answers: Vec<(usize, Result<CheckedCose, NodeError>)> = Vec::with_capacity(named);
    while let Some(answer) = asked.join_next().await {
        answers.push(answer?);
    }
    answers.sort_by_key(|(number, _)| *number);

    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", safe_path(folder)))?;
    let leaf = folder.join(LEAF);
    write_once(&leaf, request.leaf())?;
    let (mut written, mut failed): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for (_, answer) in answers {
        match answer {
            Ok(CheckedCose { authority, bytes }) => {
                let file = folder.join(format!("{authority}.cose"));
                write_once(&file, &bytes)?;
                output.line(format!("Wrote {}.", safe_path(&file)));
                let authority = authority.to_string();
                written.push(json!({ "authority": authority, "file": file.to_string_lossy() }));
            }
            Err(error) => {
                output.failed(&error.to_string());
                failed.push(json!({ "node": error.node, "message": error.message }));
            }
        }
    }
    if !failed.is_empty() {
        output.line(format!("{} of {named} nodes gave their receipt.", written.len()));
    }
    let code = if failed.is_empty() { 0 } else { 2 };
    output.answer(&json!({ "leaf": leaf.to_string_lossy(), "receipts": written, "failed": failed }));
    Ok(code)
}

/// Makes the slip of a receipt.
pub fn slip(args: &ReceiptSlipArgs, output: Output) -> Result<u8> {
    let receipt = receipts::read(&args.file)?;
    let language = match args.language {
        SlipLanguage::De => slip::Language::German,
        SlipLanguage::En => slip::Language::English,
    };
    let paper = match args.paper {
        SlipPaper::A4 => slip::Paper::A4,
        SlipPaper::A6 => slip::Paper::A6,
    };
    let is_pdf =
        || args.out.as_deref().and_then(Path::extension).is_some_and(|end| end.eq_ignore_ascii_case("pdf"));
    let format = args.format.unwrap_or_else(|| if is_pdf() { SlipFormat::Pdf } else { SlipFormat::Svg });
    let slip = match format {
        SlipFormat::Svg => slip::svg(&receipt, &args.page, language, paper)?.into_bytes(),
        SlipFormat::Pdf => slip::pdf(&receipt, &args.page, language, paper)?,
    };
    let Some(path) = args.out.as_deref() else {
        output.raw(&slip);
        return Ok(0);
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(&slip));
    written.with_context(|| format!("{} cannot be written", safe_path(path)))?;
    output.line(format!(
        "Wrote {}. It has the receipt's salt: hand it out with the document only.",
        safe_path(path)
    ));
    output.answer(&json!({ "file": path.to_string_lossy() }));
    Ok(0)
}

/// Exports a trust root.
pub fn genesis(args: &GenesisExportArgs, output: Output) -> Result<u8> {
    let trust = trust::read_genesis(&args.file)?;
    let bytes = match args.format {
        GenesisFormat::TlogPolicy => tlog_policy(trust.genesis()).into_bytes(),
        GenesisFormat::CoseKeys => cose_keys(trust.genesis()),
    };
    hand_out(&bytes, args.out.as_deref(), output)
}

/// To a new file, or printed as it is.
fn hand_out(bytes: &[u8], out: Option<&Path>, output: Output) -> Result<u8> {
    let Some(path) = out else {
        output.raw(bytes);
        return Ok(0);
    };
    write_new(path, bytes)?;
    output.line(format!("Wrote {}.", safe_path(path)));
    output.answer(&json!({ "file": path.to_string_lossy() }));
    Ok(0)
}

/// To a new file, or to none where these very bytes stand in it.
fn write_once(path: &Path, bytes: &[u8]) -> Result<()> {
    match create(path, bytes) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if fs::read(path).is_ok_and(|there| there == bytes) { Ok(()) } else { Err(error) }
        }
        created => created,
    }
    .with_context(|| format!("{} cannot be written", safe_path(path)))
}

/// To a file that is not there yet.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    create(path, bytes).with_context(|| format!("{} cannot be written", safe_path(path)))
}

fn create(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)
}
