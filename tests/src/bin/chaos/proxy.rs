//! Where there are no namespaces: every connection between two nodes goes through this process, which holds it up.
//!
//! A connection has no packets to lose; a loss is shown as what it does to a connection, which waits for the repetition.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use markstein_tests::{cluster::network_in, random::Random};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    time::sleep,
};

use crate::plan::{AUTHORITIES, Fault};

const CHUNK: usize = 16 * 1024;
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The shortest time after which a TCP sender repeats itself.
const REPETITION: Duration = Duration::from_millis(200);
/// A listener that fails is tried again after this.
const REST: Duration = Duration::from_millis(100);

/// All ways between nodes.
#[derive(Debug)]
pub struct Proxy {
    faults: Faults,
    /// By the node that dials, and the one it dials.
    ports: Vec<Vec<SocketAddr>>,
}

/// The faults in force.
#[derive(Clone, Debug, Default)]
struct Faults(Arc<Mutex<Vec<Fault>>>);

impl Proxy {
    /// Opens a port for each ordered pair of nodes; `folders` are theirs.
    pub fn new(folders: &[PathBuf], runtime: &Handle) -> anyhow::Result<Self> {
        let faults = Faults::default();
        let mut ports = Vec::new();
        for from in 0..AUTHORITIES {
            let mut row = Vec::new();
            for (to, folder) in folders.iter().enumerate() {
                let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
                row.push(listener.local_addr()?);
                let way = Way { from, to, faults: faults.clone(), folder: folder.clone() };
                runtime.spawn(way.serve(listener));
            }
            ports.push(row);
        }
        Ok(Self { faults, ports })
    }

    /// Where a node finds another one.
    pub fn address(&self, from: usize, to: usize) -> String {
        self.ports[from][to].to_string()
    }

    /// Puts exactly these faults into force.
    pub fn apply(&self, faults: &[Fault]) {
        *self.faults.0.lock().unwrap_or_else(PoisonError::into_inner) = faults.to_vec();
    }
}

#[derive(Clone, Debug)]
struct Way {
    from: usize,
    to: usize,
    faults: Faults,
    /// Of the node at the far end.
    folder: PathBuf,
}

impl Way {
    async fn serve(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((near, _)) => drop(tokio::spawn(self.clone().join(near))),
                Err(_) => sleep(REST).await,
            }
        }
    }

    /// The node at the far end listens elsewhere after each start.
    async fn join(self, near: TcpStream) -> anyhow::Result<()> {
        self.pass(0, &mut Random::new(0)).await;
        let far = TcpStream::connect(network_in(&self.folder)?).await?;
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        // Where one direction ends, both do.
        tokio::select! {
            ended = self.pump(near_in, far_out) => ended,
            ended = self.pump(far_in, near_out) => ended,
        }
    }

    async fn pump(
        &self,
        mut from: impl AsyncReadExt + Unpin,
        mut to: impl AsyncWriteExt + Unpin,
    ) -> anyhow::Result<()> {
        let (mut chunk, mut random) = (vec![0; CHUNK], Random::new(self.from as u64));
        loop {
            let length = from.read(&mut chunk).await?;
            if length == 0 {
                return Ok(());
            }
            self.pass(length, &mut random).await;
            to.write_all(&chunk[..length]).await?;
        }
    }

    /// Returns once so many bytes may pass.
    async fn pass(&self, length: usize, random: &mut Random) {
        while self.faults.now().iter().any(|fault| fault.parts(self.from, self.to)) {
            sleep(LOOK_AGAIN).await;
        }
        for fault in self.faults.now() {
            match fault {
                Fault::Loss(i, percent) if self.touches(i) && random.below(100) < u64::from(percent) => {
                    sleep(REPETITION).await;
                }
                // A kbit/s is a bit in each millisecond.
                Fault::Slow(i, kbit) if self.touches(i) => {
                    sleep(Duration::from_millis(8 * length as u64 / u64::from(kbit))).await;
                }
                _ => {}
            }
        }
    }

    fn touches(&self, node: usize) -> bool {
        node == self.from || node == self.to
    }
}

impl Faults {
    fn now(&self) -> Vec<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Fault {
    /// Whether two nodes do not hear each other.
    fn parts(self, one: usize, other: usize) -> bool {
        match self {
            Self::CutOff(i) => one == i || other == i,
            Self::Halves(with) => {
                let here = |i| i == 0 || i == with;
                here(one) != here(other)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_parts_whom_it_names() {
        let parted = |fault: Fault| -> Vec<(usize, usize)> {
            let pairs = (0..AUTHORITIES).flat_map(|i| (i + 1..AUTHORITIES).map(move |j| (i, j)));
            pairs.filter(|(i, j)| fault.parts(*i, *j) && fault.parts(*j, *i)).collect()
        };
        assert_eq!(parted(Fault::CutOff(2)), [(0, 2), (1, 2), (2, 3)]);
        assert_eq!(parted(Fault::Halves(2)), [(0, 1), (0, 3), (1, 2), (2, 3)]);
        assert!(parted(Fault::Kill(1)).is_empty());
    }
}
