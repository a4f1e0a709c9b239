//! A way to a node that remembers all that was sent to it.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// Listens on a port that the system chose, passes everything on, and keeps what clients said.
pub struct Tee {
    pub url: String,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Tee {
    pub fn to(node: &str) -> Self {
        let node = node.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&said);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&node) else { continue };
                let (client_back, server_back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let kept = Arc::clone(&kept);
                thread::spawn(move || pass(client, server, |bytes| kept.lock().unwrap().extend(bytes)));
                thread::spawn(move || pass(server_back, client_back, |_| ()));
            }
        });
        Self { url, said }
    }

    /// All that clients said so far.
    pub fn said(&self) -> Vec<u8> {
        self.said.lock().unwrap().clone()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, seen: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        seen(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    _ = to.shutdown(Shutdown::Write);
}
