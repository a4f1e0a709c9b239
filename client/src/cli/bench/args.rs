//! What `markstein bench` understands.

use std::{path::PathBuf, time::Duration};

use clap::{ValueHint, value_parser};
use markstein_client::bench::{Load, Options, Rate};

use super::super::args::{ConnectionArgs, parse_batch};

/// Most submissions under way: of each, signed batch and salts are held in memory.
const IN_FLIGHT_MAX: u64 = 65_536;
const DAY_S: u64 = 86_400;

const COUNTED: &str = "\
What is counted:
  Open loop (--rate): submission i is due at i x batch / rate seconds, whatever became of those before. Latencies count
  from that moment, not from the sending, so a node that stalls shows in all that was due meanwhile. One that is due
  while --in-flight others are under way is not sent at all: it counts as \"not sent in time\".
  Closed loop (--peak): --in-flight submissions are always under way. Their latencies count from the sending.

  accepted   the node has the submission on its disk
  receipt    the receipt of its first record has come and is verified
  all        with --batch, the receipts of all its records have come and are verified

  Every receipt is fetched and verified in full, like `markstein verify` does. Latencies and rates are of the measured
  time, --seconds after --warmup; refusals, errors and receipts are of the whole run. Nodes take turns. One that is away
  is named, and its share goes to the others; such a submission goes to the next node. Nothing else is tried twice.
  Percentiles are of the submissions that came so far.

Ctrl-C ends it early, with the report so far; once more ends it at once.

Exit codes:
  0  every submission got its receipts, and all of them verify
  1  a receipt did not verify
  2  something could not be done: refusals, errors, submissions not sent in time, wrong usage";

/// Load nodes with records made up for the purpose, and measure
///
/// WARNING: what this anchors are real records, and they stay in the ledger for ever. Use it on a ledger that is there
/// for trying things. A ledger whose origin does not say so, by a word that is devnet, test or testnet, is only
/// written to with --write-records-for-ever.
#[derive(Debug, clap::Args)]
#[command(after_long_help = COUNTED)]
pub struct BenchArgs {
    /// A node's URL; may be given several times.
    #[arg(long, value_name = "URL", required = true, value_hint = ValueHint::Url)]
    pub node: Vec<String>,
    /// An issuer's secret key.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: PathBuf,
    /// Documents (not submissions) per second, on a fixed schedule: 50, 0.5.
    #[arg(long, value_name = "R", default_value = "10", conflicts_with = "peak")]
    pub rate: Rate,
    /// As fast as the nodes take them: finds the rate that they sustain.
    #[arg(long)]
    pub peak: bool,
    /// Documents signed together in each submission.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_batch)]
    pub batch: usize,
    /// How long to measure.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = value_parser!(u64).range(1..=DAY_S))]
    pub seconds: u64,
    /// How long to load before measuring.
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = value_parser!(u64).range(0..=DAY_S))]
    pub warmup: u64,
    /// Most submissions under way at a time. [default: 64 with --peak; otherwise 4096, less where batches are large]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=IN_FLIGHT_MAX))]
    pub in_flight: Option<u64>,
    /// The ledger's genesis. Without it the node is asked, and must name the ledger that the key is for.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub genesis: Option<PathBuf>,
    /// The type of the documents; without it the first one that the issuer may anchor.
    #[arg(long = "type", value_name = "NAME")]
    pub document_type: Option<String>,
    /// Write to a ledger that is not there for trying things. Nothing takes these records out again.
    #[arg(long)]
    pub write_records_for_ever: bool,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

impl BenchArgs {
    pub(super) fn options(&self) -> Options {
        let load = if self.peak { Load::Peak } else { Load::Rate(self.rate) };
        let in_flight = self.in_flight.and_then(|n| usize::try_from(n).ok());
        Options {
            load,
            batch: self.batch,
            warmup: Duration::from_secs(self.warmup),
            measured: Duration::from_secs(self.seconds),
            in_flight: in_flight.unwrap_or_else(|| load.in_flight(self.batch)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Args, Command};

    fn options(more: &str) -> Options {
        let line = format!("markstein bench --node http://a --node http://b --key k {more}");
        let Command::Bench(args) = Args::try_parse_from(line.split_whitespace()).unwrap().command else {
            panic!()
        };
        assert_eq!(args.node.len(), 2);
        args.options()
    }

    #[test]
    fn the_defaults_are_gentle() {
        let expected = Options {
            load: Load::Rate("10".parse().unwrap()),
            batch: 1,
            warmup: Duration::from_secs(2),
            measured: Duration::from_secs(10),
            in_flight: 4096,
        };
        assert_eq!(options(""), expected);
        assert_eq!(options("--peak"), Options { load: Load::Peak, in_flight: 64, ..expected });
        let chosen = options("--rate 0.5 --batch 100 --seconds 60 --warmup 0 --in-flight 7");
        assert_eq!(
            (chosen.load, chosen.batch, chosen.in_flight),
            (Load::Rate("0.5".parse().unwrap()), 100, 7)
        );
        assert_eq!((chosen.warmup, chosen.measured), (Duration::ZERO, Duration::from_secs(60)));
    }
}
