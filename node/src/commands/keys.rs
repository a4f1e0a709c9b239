//! `keys`: makes the keys of an authority or of an observer.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use markstein_node::config::keys::{self, AUTHORITY_FILE};
use markstein_node::config::network::observer_line;
use markstein_proto::{AuthorityId, KeyPurpose, ObserverName};

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Make the five keys of a new authority, and authority.toml with their public halves
    New(NewArgs),
    /// Make the one key of an observer: a node that follows the ledger and has no vote
    Observer(ObserverArgs),
}

#[derive(Args)]
pub(super) struct NewArgs {
    /// Folder to put the keys into; made if need be, nothing in it is ever overwritten
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Name for machines, for ever, like a domain name: stadtarchiv.neustadt.example
    #[arg(long, value_name = "SLUG")]
    authority: String,
    /// Name for people: "Stadtarchiv Neustadt"
    #[arg(long)]
    name: String,
    /// Folder for the governance key, best on a medium that leaves this machine [default: DIR]
    #[arg(long, value_name = "DIR")]
    governance_dir: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct ObserverArgs {
    /// Folder to put the key into; made if need be, nothing in it is ever overwritten
    #[arg(long, value_name = "DIR", alias = "dir")]
    out: PathBuf,
    /// Name for machines, under which the authorities let it follow: lesesaal.neustadt.example
    #[arg(long, value_name = "SLUG")]
    name: String,
}

pub(super) fn run(command: KeysCommand) -> anyhow::Result<()> {
    match command {
        KeysCommand::New(args) => new(&args),
        KeysCommand::Observer(args) => observer(&args),
    }
}

fn observer(args: &ObserverArgs) -> anyhow::Result<()> {
    let name = ObserverName::new(&args.name)?;
    let public = keys::new_observer_key(&args.out, &name)?;
    let path = keys::key_path(&args.out, KeyPurpose::Network);
    println!("Made the key of the observer {name}: {} (secret, mode 0600).", path.display());
    println!("  Hand out this line; each authority to be followed puts it under [network] observers:");
    println!("  {}", observer_line(&name, &public));
    Ok(())
}

fn new(args: &NewArgs) -> anyhow::Result<()> {
    let authority = AuthorityId::new(&args.authority)?;
    let governance_dir = args.governance_dir.as_ref().unwrap_or(&args.dir);
    keys::new_authority_keys(&args.dir, governance_dir, &authority, &args.name)?;
    let governance_key = keys::key_path(governance_dir, KeyPurpose::Governance);
    println!("Made the keys of {authority} ({}) in {}.", args.name, args.dir.display());
    println!("  Hand out:  {} (public)", args.dir.join(AUTHORITY_FILE).display());
    println!("  Keep here: consensus.key, cosigner.key, log.key, network.key (secret, mode 0600)");
    if args.governance_dir.is_none() {
        println!("  Move away: {} to a medium kept offline;", governance_key.display());
    } else {
        println!("  Offline:   {};", governance_key.display());
    }
    println!("             it decides who belongs to the ledger, and the node never needs it.");
    Ok(())
}
