//! `genesis`: makes or checks the trust root of a ledger.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use markstein_node::config;
use markstein_node::files::{self, PUBLIC_FILE};
use markstein_proto::{
    Authority, AuthorityEntry, AuthoritySet, DocumentType, DocumentTypeName, EpochId, Genesis, IssuerEntry,
    IssuerGrant, IssuerKey, Parameters, TimeMs,
};

#[derive(Subcommand)]
pub(super) enum GenesisCommand {
    /// Make genesis.toml from the public files of authorities and issuers
    New(NewArgs),
    /// Read a genesis.toml and say in words what it determines
    Check(CheckArgs),
}

#[derive(Args)]
pub(super) struct NewArgs {
    /// Name of the ledger in checkpoints, like a URL without scheme: neustadt.example/permits
    #[arg(long)]
    origin: String,
    /// authority.toml of an authority; give it once for each, in the order in which they shall lead
    #[arg(long, value_name = "FILE", required = true)]
    authority: Vec<PathBuf>,
    /// Public file of an issuer, with the types of documents it may anchor where the file does not list them
    #[arg(long, value_name = "FILE[:TYPE,TYPE]", required = true)]
    issuer: Vec<String>,
    /// A kind of document and its code, from 1: 1=building-permit
    #[arg(long, value_name = "CODE=NAME", required = true)]
    document_type: Vec<String>,
    /// While nothing is written, authorities sign the newest state again after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    recosign_interval_s: u64,
    /// Where to write it; a file that is there is never overwritten
    #[arg(long, value_name = "FILE", default_value = "genesis.toml")]
    out: PathBuf,
}

#[derive(Args)]
pub(super) struct CheckArgs {
    /// The genesis file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(command: GenesisCommand) -> anyhow::Result<()> {
    match command {
        GenesisCommand::New(args) => new(&args),
        GenesisCommand::Check(args) => check(&args.file),
    }
}

/// A genesis of now, with a nonce of its own.
pub(super) fn make(
    origin: String,
    authorities: Vec<Authority>,
    grants: Vec<IssuerGrant>,
    parameters: Parameters,
) -> anyhow::Result<Genesis> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| anyhow!("the system gives no random numbers: {error}"))?;
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).context("this machine's clock stands before 1970")?;
    let genesis = Genesis {
        origin,
        nonce,
        time: TimeMs(u64::try_from(now.as_millis()).context("this machine's clock is far in the future")?),
        authorities: AuthoritySet::new(EpochId(0), authorities)?,
        grants,
        parameters,
    };
    Ok(genesis.check()?)
}

fn new(args: &NewArgs) -> anyhow::Result<()> {
    let document_types =
        args.document_type.iter().map(|text| document_type(text)).collect::<Result<Vec<_>, _>>()?;
    let mut parameters =
        Parameters { document_types, recosign_interval_ms: args.recosign_interval_s.saturating_mul(1000) };
    parameters.document_types.sort_by_key(|t| t.code);
    let authorities = args.authority.iter().map(|path| authority(path)).collect::<Result<_, _>>()?;
    let grants = args.issuer.iter().map(|text| issuer(text, &parameters)).collect::<Result<_, _>>()?;
    let genesis = make(args.origin.clone(), authorities, grants, parameters)?;
    files::write_new(&args.out, genesis.to_toml().as_bytes(), PUBLIC_FILE)?;
    println!("Made {}.", args.out.display());
    describe(&genesis);
    println!(
        "Give this file to every authority, issuer and verifier over a way they trust; all compare the ledger id."
    );
    Ok(())
}

fn check(file: &Path) -> anyhow::Result<()> {
    let genesis = config::load_genesis(file)?;
    println!("{} is a sound genesis.", file.display());
    describe(&genesis);
    Ok(())
}

fn describe(genesis: &Genesis) {
    let set = &genesis.authorities;
    println!("  Ledger id: {}", genesis.ledger_id());
    println!("  Origin:    {}", genesis.origin);
    println!("  Made at:   {}", time(genesis.time));
    println!(
        "  Authorities: n = {}; up to f = {} may fail or lie; q = {} must agree",
        set.authorities().len(),
        set.faults(),
        set.quorum()
    );
    for authority in set.authorities() {
        println!("    {} ({})", authority.id, authority.name);
    }
    println!("  Issuers:");
    for grant in &genesis.grants {
        let types: Vec<_> =
            grant.document_types.iter().filter_map(|code| genesis.document_type(*code)).collect();
        let types: Vec<_> = types.iter().map(|name| name.as_str()).collect();
        println!("    {} ({}) may anchor: {}", grant.issuer, grant.name, types.join(", "));
        for key in &grant.keys {
            println!("      key {}{}", hex::encode(key.key.to_bytes()), span(key));
        }
    }
    println!("  Document types:");
    for document_type in &genesis.parameters.document_types {
        println!("    {} = {}", document_type.code, document_type.name);
    }
    let seconds = std::time::Duration::from_millis(genesis.parameters.recosign_interval_ms).as_secs_f64();
    println!("  While nothing is written, the newest state is signed again every {seconds} s.");
}

fn span(key: &IssuerKey) -> String {
    let from = (key.not_before.0 > 0).then(|| format!(", from {}", time(key.not_before)));
    let until = key.not_after.map(|end| format!(", until {}", time(end)));
    from.unwrap_or_default() + &until.unwrap_or_default()
}

fn time(time: TimeMs) -> String {
    let timestamp = i64::try_from(time.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| format!("{time} ms after 1970"), |timestamp| timestamp.to_string())
}

fn document_type(text: &str) -> anyhow::Result<DocumentType> {
    let parsed = text.split_once('=').and_then(|(code, name)| Some((code.trim().parse().ok()?, name.trim())));
    let Some((code, name)) = parsed else {
        bail!("--document-type {text}: write CODE=NAME, like 1=building-permit");
    };
    let name = DocumentTypeName::new(name).with_context(|| format!("--document-type {text}"))?;
    Ok(DocumentType { code, name })
}

fn authority(path: &Path) -> anyhow::Result<Authority> {
    let text = files::read_text(path)?;
    let read = || AuthorityEntry::from_toml(&text)?.check();
    read().with_context(|| format!("{} is no public file of an authority", path.display()))
}

fn issuer(text: &str, parameters: &Parameters) -> anyhow::Result<IssuerGrant> {
    let (path, types) = match text.rsplit_once(':') {
        // A path with a colon in it is still a path.
        Some((path, types)) if !Path::new(text).exists() => (Path::new(path), types),
        _ => (Path::new(text), ""),
    };
    let place = || format!("{} is no public file of an issuer", path.display());
    let mut entry = IssuerEntry::from_toml(&files::read_text(path)?).with_context(place)?;
    if !types.is_empty() {
        entry.document_types = types.split(',').map(|name| name.trim().to_owned()).collect();
    }
    if entry.document_types.is_empty() {
        bail!("{0} lists no document types; write --issuer {0}:TYPE,TYPE", path.display());
    }
    entry.check(parameters).with_context(place)
}
