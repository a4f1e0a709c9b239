//! Nodes that serve a log over plain HTTP, each path as a test wants it.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use markstein_proto::log::{
    Levels, NodeReader, leaf_hash,
    tile::{EntryBundle, Tile},
};

use crate::made::MadeLog;

/// What is served: the files of a log by their paths.
#[derive(Clone, Debug)]
pub struct Files {
    checkpoint: String,
    leaves: Vec<Vec<u8>>,
    levels: Levels,
}

impl Files {
    /// All of a log, under this checkpoint.
    #[must_use]
    pub fn of(log: &MadeLog, checkpoint: String) -> Self {
        let leaves = log.leaves().to_vec();
        let levels = Levels::new(leaves.iter().map(|leaf| leaf_hash(leaf)).collect());
        Self { checkpoint, leaves, levels }
    }

    /// A file, as an honest node serves it.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        if path == "checkpoint" {
            return Some(self.checkpoint.clone().into_bytes());
        }
        if let Ok(tile) = Tile::parse(path) {
            let first = tile.index * 256;
            let node = |index| self.levels.node(tile.level * 8, index).map(|hash| hash.0);
            let hashes: Result<Vec<_>, _> = (first..first + u64::from(tile.width)).map(node).collect();
            return hashes.ok().map(|hashes| hashes.concat());
        }
        let bundle = EntryBundle::parse(path).ok()?;
        let first = usize::try_from(bundle.index * 256).ok()?;
        let leaves = self.leaves.get(first..first + usize::from(bundle.width))?;
        let framed = leaves.iter().flat_map(|leaf| {
            let length = u16::try_from(leaf.len()).unwrap_or(u16::MAX);
            [&length.to_be_bytes()[..], leaf].concat()
        });
        Some(framed.collect())
    }
}

/// What a node answers to a path: a body, or a code.
pub type Reply = Result<Vec<u8>, u16>;
type Answer = Box<dyn Fn(&str) -> Reply + Send>;

/// A server on loopback that ends with this value.
pub struct TileServer {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<Vec<String>>>,
    ends: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl TileServer {
    /// Serves these files honestly.
    ///
    /// # Panics
    /// Where there is no loopback.
    #[must_use]
    pub fn honest(files: Files) -> Self {
        Self::start(move |path| files.get(path).ok_or(404))
    }

    /// Serves these files, each as `change` makes it.
    ///
    /// # Panics
    /// Where there is no loopback.
    #[must_use]
    pub fn changed(files: Files, change: impl Fn(&str, Vec<u8>) -> Reply + Send + 'static) -> Self {
        Self::start(move |path| files.get(path).ok_or(404).and_then(|file| change(path, file)))
    }

    fn start(answer: impl Fn(&str) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a loopback");
        let address = listener.local_addr().expect("it is bound");
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(answer)));
        let (asked, ends) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let shared = (Arc::clone(&answer), Arc::clone(&asked), Arc::clone(&ends));
        let listener = thread::spawn(move || {
            let (answer, asked, ends) = shared;
            for stream in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
                thread::spawn(move || serve(stream, &answer, &asked));
            }
        });
        Self { address, answer, asked, ends, listener: Some(listener) }
    }

    /// From now on, these files.
    pub fn replace(&self, files: Files) {
        let answer: Answer = Box::new(move |path| files.get(path).ok_or(404));
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The paths that were asked for since this was asked last.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for TileServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.listener.take().map(JoinHandle::join);
    }
}

impl std::fmt::Debug for TileServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TileServer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Requests of one connection, one after the other, until it ends.
fn serve(stream: TcpStream, answer: &Mutex<Answer>, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !reader.read_line(&mut head).is_ok_and(|read| read > 0) {
                return;
            }
        }
        let path = head.split(' ').nth(1).and_then(|path| path.strip_prefix('/')).unwrap_or_default();
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        let (code, body) = match answer.lock().unwrap_or_else(PoisonError::into_inner)(path) {
            Ok(body) => (200, body),
            Err(code) => (code, Vec::new()),
        };
        let head = format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n", body.len());
        if reader.get_mut().write_all(&[head.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}
