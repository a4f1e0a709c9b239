//! Something in a node's place that answers some calls as it likes, and all others as the node does.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use markstein_tests::http;

/// Listens on a port that the system chose.
pub struct Liar {
    pub url: String,
    lies: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Liar {
    pub fn before(node: &str) -> Self {
        let (node, lies) = (node.to_owned(), Arc::<Mutex<BTreeMap<String, Vec<u8>>>>::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let told = Arc::clone(&lies);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (node, told) = (node.clone(), Arc::clone(&told));
                thread::spawn(move || answer(client, &node, &told));
            }
        });
        Self { url, lies }
    }

    /// From now on this is what a path gives.
    pub fn say(&self, path: &str, body: impl Into<Vec<u8>>) {
        self.lies.lock().unwrap().insert(path.into(), body.into());
    }
}

/// Answers one `GET` and closes. A browser that goes away early is no failure.
fn answer(mut client: TcpStream, node: &str, lies: &Mutex<BTreeMap<String, Vec<u8>>>) -> Option<()> {
    let mut lines = BufReader::new(client.try_clone().ok()?).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    lines.find(|line| line.is_empty())?;
    let lie = lies.lock().unwrap().get(&path).cloned();
    let (code, kind, body) = match lie {
        Some(body) => (200, "application/json".to_owned(), body),
        None => {
            let true_one = http::get(node, &path).ok()?;
            (true_one.code, true_one.header("content-type").to_owned(), true_one.body)
        }
    };
    let head = format!(
        "HTTP/1.1 {code} Said\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(&[head.as_bytes(), &body].concat()).ok()
}
