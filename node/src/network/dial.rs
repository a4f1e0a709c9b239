//! When a peer is dialled, and where.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use libp2p::swarm::ConnectionId;

use super::{
    PeerAddress,
    limits::{
        ADDRESSES_MAX, BACKOFF_LIVELY_MAX, BACKOFF_MAX, BACKOFF_MIN, LIVELY_FOR, LogGate, RESOLVE_TIMEOUT,
    },
};
use crate::server::read_address_file;

/// The dialling of one peer: for ever, with growing pauses, while there is no connection or nothing is heard on it.
#[derive(Debug)]
pub(super) struct Dial {
    address: Option<PeerAddress>,
    failures: u32,
    /// Until then pauses stay short: there was a good connection not long ago.
    lively_until: Instant,
    stage: Stage,
    log: LogGate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is a connection, or no address.
    Idle,
    /// Not before this time.
    Due(Instant),
    Resolving,
    Dialling(ConnectionId),
}

impl Dial {
    /// Due at once, where there is an address.
    pub(super) fn new(address: Option<PeerAddress>, now: Instant) -> Self {
        let stage = if address.is_some() { Stage::Due(now) } else { Stage::Idle };
        Self { address, failures: 0, lively_until: now, stage, log: LogGate::default() }
    }

    /// When the next dial is due.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Due(at) => Some(at),
            Stage::Idle | Stage::Resolving | Stage::Dialling(_) => None,
        }
    }

    /// The address to resolve, where a dial is due now.
    pub(super) fn begin(&mut self, now: Instant) -> Option<PeerAddress> {
        if self.due()? > now {
            return None;
        }
        self.stage = Stage::Resolving;
        self.address.clone()
    }

    /// The addresses are known and dialled.
    pub(super) fn dialling(&mut self, connection: ConnectionId) {
        self.stage = Stage::Dialling(connection);
    }

    /// Whether this attempt is this peer's.
    pub(super) fn is(&self, connection: ConnectionId) -> bool {
        self.stage == Stage::Dialling(connection)
    }

    /// There is a connection.
    pub(super) fn established(&mut self, connection: ConnectionId) {
        if self.is(connection) || self.due().is_some() {
            self.stage = Stage::Idle;
        }
    }

    /// The connection is good: streams are open.
    pub(super) fn good(&mut self) {
        self.failures = 0;
    }

    /// There is a connection, and nothing is heard on it: another one is tried, unless one is being tried already.
    /// Tells whether that is news.
    pub(super) fn doubt(&mut self, now: Instant) -> bool {
        let news = self.address.is_some() && self.stage == Stage::Idle;
        if news {
            self.lively_until = now + LIVELY_FOR;
            self.stage = Stage::Due(now);
        }
        news
    }

    /// There is no connection any more.
    pub(super) fn lost(&mut self, was_good: bool, now: Instant) {
        if was_good {
            self.failures = 0;
            self.lively_until = now + LIVELY_FOR;
        }
        if self.stage == Stage::Idle {
            self.failed(now);
        }
    }

    /// The attempt failed; the next one is due after a pause.
    pub(super) fn failed(&mut self, now: Instant) {
        if self.address.is_none() {
            self.stage = Stage::Idle;
            return;
        }
        let longest = if now < self.lively_until { BACKOFF_LIVELY_MAX } else { BACKOFF_MAX };
        self.stage = Stage::Due(now + pause(self.failures, random()).min(longest));
        self.failures = self.failures.saturating_add(1);
    }

    /// Nothing to do: somebody else was faster.
    pub(super) fn rest(&mut self) {
        self.stage = Stage::Idle;
    }

    /// Dial at once, now that the peer is not blocked any more.
    pub(super) fn at_once(&mut self, now: Instant) {
        if self.address.is_some() && matches!(self.stage, Stage::Idle | Stage::Due(_)) {
            self.stage = Stage::Due(now);
        }
    }

    /// How often it failed since the last line, if a line is due.
    pub(super) fn log_due(&mut self, now: Instant) -> Option<u64> {
        self.log.due(now)
    }
}

/// The pause after so many failures, between three and five quarters of the doubled one.
fn pause(failures: u32, random: u8) -> Duration {
    let doubled = BACKOFF_MIN.saturating_mul(1 << failures.min(16));
    (doubled * (192 + u32::from(random) / 2) / 256).min(BACKOFF_MAX)
}

fn random() -> u8 {
    // Without randomness the pause is only less jittered.
    getrandom::u32().map_or(128, |number| number.to_le_bytes()[0])
}

/// Where a peer is, asked anew at each dial.
pub(super) async fn resolve(address: PeerAddress) -> Result<Vec<SocketAddr>, String> {
    let resolved = async {
        match address {
            PeerAddress::Host(host) => look_up(&host).await,
            PeerAddress::File(path) => read_file(path).await,
        }
    };
    let mut found = tokio::time::timeout(RESOLVE_TIMEOUT, resolved)
        .await
        .map_err(|_| "no answer in time".to_owned())??;
    found.truncate(ADDRESSES_MAX);
    if found.is_empty() {
        return Err("it has no address".to_owned());
    }
    Ok(found)
}

async fn look_up(host: &str) -> Result<Vec<SocketAddr>, String> {
    match tokio::net::lookup_host(host).await {
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(format!("{host}: {error}")),
    }
}

async fn read_file(path: PathBuf) -> Result<Vec<SocketAddr>, String> {
    let read = tokio::task::spawn_blocking(move || read_address_file(&path)).await;
    let file = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let file = file.ok_or("it has not said yet where it listens")?;
    let mut found = Vec::new();
    for host in file.network {
        found.extend(look_up(&host).await?);
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn host() -> Option<PeerAddress> {
        Some(PeerAddress::Host("localhost:1".into()))
    }

    #[test]
    fn pauses_double_up_to_the_longest_one() {
        assert_eq!(pause(0, 128), BACKOFF_MIN);
        assert_eq!(pause(3, 128), BACKOFF_MIN * 8);
        assert!(pause(3, 0) < pause(3, 255));
        assert_eq!(pause(u32::MAX, 0), BACKOFF_MAX);
    }

    #[test]
    fn a_good_connection_that_is_lost_is_dialled_again_soon() {
        let now = Instant::now();
        let mut dial = Dial::new(host(), now);
        for _ in 0..20 {
            assert!(dial.begin(dial.due().unwrap()).is_some());
            dial.failed(now);
        }
        assert!(dial.due().unwrap() >= now + BACKOFF_MAX / 2);
        let connection = ConnectionId::new_unchecked(7);
        dial.established(connection);
        assert_eq!(dial.due(), None);
        dial.good();
        dial.lost(true, now);
        assert!(dial.due().unwrap() <= now + BACKOFF_MIN * 2);
    }

    #[test]
    fn a_peer_that_was_there_not_long_ago_is_dialled_at_short_pauses() {
        let now = Instant::now();
        let mut dial = Dial::new(host(), now);
        dial.rest();
        dial.lost(true, now);
        let mut fail_often = |now: Instant| {
            for _ in 0..20 {
                dial.failed(now);
            }
            dial.due().unwrap() - now
        };
        assert_eq!(fail_often(now), BACKOFF_LIVELY_MAX);
        assert!(fail_often(now + LIVELY_FOR) >= BACKOFF_MAX / 2);
    }

    #[test]
    fn a_silent_peer_is_dialled_once_beside_the_connection_there_is() {
        let now = Instant::now();
        let mut dial = Dial::new(host(), now);
        dial.rest();
        assert!(dial.doubt(now) && !dial.doubt(now));
        assert!(dial.begin(now).is_some());
        assert!(!dial.doubt(now), "it is being dialled");
        dial.dialling(ConnectionId::new_unchecked(7));
        dial.failed(now);
        assert!(!dial.doubt(now), "it has its pause");
        assert!(dial.due().unwrap() > now);
        let mut unknown = Dial::new(None, now);
        assert!(!unknown.doubt(now));
    }

    #[test]
    fn a_connection_that_never_was_good_does_not_shorten_the_pause() {
        let now = Instant::now();
        let mut dial = Dial::new(host(), now);
        for _ in 0..20 {
            dial.begin(dial.due().unwrap());
            let connection = ConnectionId::new_unchecked(7);
            dial.dialling(connection);
            dial.established(connection);
            dial.lost(false, now);
        }
        assert!(dial.due().unwrap() >= now + BACKOFF_MAX / 2);
    }

    #[test]
    fn a_peer_without_address_is_not_dialled() {
        let now = Instant::now();
        let mut dial = Dial::new(None, now);
        dial.lost(true, now);
        dial.at_once(now);
        assert_eq!(dial.due(), None);
    }
}
