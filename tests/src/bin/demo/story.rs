//! What the demo does, in order.

use std::{
    ffi::OsString,
    fs,
    net::{TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use markstein_tests::{
    binaries::{Binaries, Voice, binaries},
    devnet::{Devnet, Terminal},
    files::receipt_of,
    process,
};
use serde_json::Value;

use crate::{
    screen::Screen,
    workspace::{Workspace, sources},
};

/// How many authorities the ledger has. With several, the story loses one of them on the way.
const AUTHORITIES: usize = 4;
/// The type the documents are anchored as.
const TYPE: &str = "decision";
/// How long the others may take to notice that an authority is gone.
const NOTICED_MAX: Duration = Duration::from_secs(60);
/// Documents shown one by one; of more only the number.
const LISTED: usize = 12;

/// Tells the whole story; every claim on the screen was checked before it is printed.
pub fn tell(files: &[PathBuf], keep: Option<Option<PathBuf>>, screen: &Screen) -> anyhow::Result<()> {
    let sources = sources(files)?;
    screen.title(
        "Markstein: a public record of decisions that nobody can change in secret",
        "This demo anchors documents on a ledger, switches the ledger off, and proves each document all the same.",
    );
    let binaries = build(screen)?;
    let began = Instant::now();
    let folder = Workspace::new(keep.iter().flatten().next().map(PathBuf::as_path))?;
    let mut documents = folder.copy(&sources)?;
    let terminal = if keep.is_some() { Terminal::Detached } else { Terminal::Shared };
    let mut devnet = start(&folder, terminal, screen)?;
    let demo = Demo { binaries: &binaries, folder: &folder, screen };
    demo.anchor(&devnet, &documents)?;
    if AUTHORITIES > 1 {
        documents.push(demo.lose_one(&mut devnet)?);
    }
    demo.stop(&mut devnet)?;
    demo.verify(&devnet, &documents)?;
    demo.tamper(&devnet, &documents)?;
    let time = began.elapsed().as_secs_f64();
    if keep.is_none() {
        screen.end(&format!(
            "Everything is as it should be ({time:.1} s). Try it with your own files: cargo demo FILES…"
        ));
        return Ok(());
    }
    screen.end(&format!("Everything is as it should be ({time:.1} s)."));
    drop(devnet);
    keep_running(&binaries, folder, &documents[0], screen)
}

fn build(screen: &Screen) -> anyhow::Result<Binaries> {
    screen.step(
        "Build the two programs",
        "markstein-node runs a ledger, markstein anchors and verifies. Only what is missing is compiled; the first \
         time that takes a while.",
    );
    let binaries = binaries(Voice::Progress)?;
    screen.good("both are built");
    Ok(binaries)
}

fn start(folder: &Workspace, terminal: Terminal, screen: &Screen) -> anyhow::Result<Devnet> {
    screen.step(
        "Start a ledger",
        "Each authority's node runs as a process of its own, here all on this machine. The genesis file says who the \
         authorities are; it is all that anybody ever has to trust.",
    );
    screen.command(&format!("markstein-node devnet --dir ledger --authorities {AUTHORITIES}"));
    let devnet = Devnet::start_as(&folder.path().join("ledger"), AUTHORITIES, terminal)?;
    let trust = devnet.trust()?;
    let ledger = trust.ledger_id().to_string();
    screen.good(&format!("the ledger {}… serves on {}", &ledger[..16], devnet.url()));
    if AUTHORITIES > 1 {
        let quorum = trust.genesis().authorities.quorum();
        screen.answer(&format!("{AUTHORITIES} authorities; {quorum} of them must agree on every record"));
    }
    Ok(devnet)
}

struct Demo<'a> {
    binaries: &'a Binaries,
    folder: &'a Workspace,
    screen: &'a Screen,
}

impl Demo<'_> {
    fn anchor(&self, devnet: &Devnet, documents: &[PathBuf]) -> anyhow::Result<()> {
        self.screen.step(
            "Anchor the documents",
            "Each document is hashed here, together with a random salt. Only that salted hash is sent, so the ledger \
             learns nothing about the document. What comes back is a receipt: proof that the authorities have it on \
             record.",
        );
        self.anchor_folder(devnet, "documents", documents)
    }

    /// Anchors what lies in a folder of the demo's, and makes sure that each document got its receipt.
    fn anchor_folder(&self, devnet: &Devnet, folder: &str, documents: &[PathBuf]) -> anyhow::Result<()> {
        let url = devnet.url();
        self.screen.command(&format!(
            "markstein anchor --node {url} --key ledger/issuer.key --type {TYPE} {folder}"
        ));
        let key = devnet.issuer_key();
        let arguments = ["anchor", "--node", url, "--type", TYPE, folder, "--key"].map(AsRef::as_ref);
        let output = self.client(arguments.into_iter().chain([key.as_path()]))?;
        if !output.status.success() {
            bail!("markstein anchor ended with {}: {}", output.status, said(&output));
        }
        let missing = documents.iter().find(|document| !receipt_of(document).is_file());
        if let Some(document) = missing {
            bail!("{} has no receipt", document.display());
        }
        for document in documents.iter().take(LISTED) {
            let receipt = fs::metadata(receipt_of(document))?.len();
            self.screen.good(&format!("{} has its receipt ({receipt} bytes)", name(document)));
        }
        self.more(documents);
        Ok(())
    }

    /// Kills an authority's node and anchors one more document with the others; gives the document.
    fn lose_one(&self, devnet: &mut Devnet) -> anyhow::Result<PathBuf> {
        let lost = AUTHORITIES - 1;
        self.screen.step(
            "Lose an authority",
            "Machines fail, and not at a moment of our choice. One authority's process is killed; the others are enough \
             to go on, and one more document is anchored.",
        );
        self.screen.command(&format!("kill -9 {}", devnet.nodes()[lost].pid));
        devnet.kill_node(lost)?;
        let document = self.folder.path().join("later").join("addendum.txt");
        fs::create_dir_all(self.folder.path().join("later"))?;
        fs::write(&document, "Addendum: decided while one of the authorities was away.\n")?;
        self.anchor_folder(devnet, "later", std::slice::from_ref(&document))?;
        self.screen.command(&format!("markstein status --node {}", devnet.url()));
        let missing = self.noticed(devnet)?;
        let there = AUTHORITIES - 1;
        self.screen.good(&format!("{there} of {AUTHORITIES} authorities are there; missing: {missing}"));
        Ok(document)
    }

    /// Waits until the first node says who is missing.
    fn noticed(&self, devnet: &Devnet) -> anyhow::Result<String> {
        let until = Instant::now() + NOTICED_MAX;
        loop {
            let output = self.client(["status", "--json", "--node", devnet.url()])?;
            let answer: Value = serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
            match answer["nodes"][0]["missing"].as_array().map(Vec::as_slice) {
                Some([Value::String(id)]) if output.status.success() => return Ok(id.clone()),
                _ if Instant::now() < until => thread::sleep(process::LOOK_AGAIN * 20),
                _ => bail!("the others do not say that one is missing: {answer}"),
            }
        }
    }

    fn stop(&self, devnet: &mut Devnet) -> anyhow::Result<()> {
        self.screen.step(
            "Switch the ledger off",
            "A proof that needs somebody's server is only that server's word. So from here on there is none.",
        );
        let nodes = devnet.nodes().to_vec();
        let status = devnet.stop()?;
        if !status.success() {
            bail!("the ledger did not stop cleanly: {status}");
        }
        for url in nodes.iter().map(|node| &node.grpc) {
            let address =
                url.trim_start_matches("http://").to_socket_addrs()?.next().context("no address")?;
            if TcpStream::connect(address).is_ok() {
                bail!("something still answers on {url}");
            }
        }
        let url = &nodes[0].grpc;
        self.screen.good(&format!("all is stopped; nothing answers on {url} any more"));
        Ok(())
    }

    fn verify(&self, devnet: &Devnet, documents: &[PathBuf]) -> anyhow::Result<()> {
        self.screen.step(
            "Verify every document, offline",
            "Document, receipt, genesis: anybody can check these three, on any machine, now or in many years.",
        );
        let folders = if AUTHORITIES > 1 { "documents/… later/…" } else { "documents/…" };
        self.screen.command(&format!("markstein verify --genesis ledger/genesis.toml {folders}"));
        let (code, verdicts) = self.verdicts(devnet, None, documents)?;
        let refused = verdicts.iter().find(|verdict| verdict["verdict"] != "genuine");
        if let Some(verdict) = refused {
            bail!("{} is not genuine: {}", verdict["file"], verdict["reason"]);
        }
        if code != Some(0) || verdicts.len() != documents.len() {
            bail!("markstein verify ended with {code:?} and {} verdicts", verdicts.len());
        }
        for (document, verdict) in documents.iter().zip(&verdicts).take(LISTED) {
            let proof = |key: &str| verdict["proof"][key].as_str().unwrap_or_default().to_owned();
            self.screen.good(&format!("{}: genuine and {}", name(document), proof("status")));
            self.screen.answer(&format!("anchored {} by {}", proof("anchored_at"), proof("issuer_name")));
        }
        self.more(documents);
        Ok(())
    }

    fn tamper(&self, devnet: &Devnet, documents: &[PathBuf]) -> anyhow::Result<()> {
        self.screen.step(
            "Change one byte",
            "Somebody alters a decision. Who did it, where and how well does not matter: the receipt fits the original \
             and nothing else.",
        );
        let document = documents.first().context("there is no document")?;
        let mut bytes = fs::read(document)?;
        let (place, before, after) = change(&mut bytes);
        let changed =
            self.folder.path().join("changed").join(document.file_name().context("a document has a name")?);
        fs::create_dir_all(self.folder.path().join("changed"))?;
        fs::write(&changed, bytes)?;
        self.screen.text(&format!(
            "In a copy of {}, byte {} becomes {after:#04x}, it was {before:#04x}:",
            name(document),
            place + 1
        ));
        let file = name(document);
        self.screen.command(&format!(
            "markstein verify --genesis ledger/genesis.toml --receipt documents/{file}.markstein.json changed/{file}"
        ));
        let (code, verdicts) = self.verdicts(devnet, Some(&receipt_of(document)), &[changed])?;
        let verdict = verdicts.first().context("markstein verify gave no verdict")?;
        if code != Some(1) || verdict["verdict"] != "not_genuine" {
            bail!("the changed document was not refused: exit code {code:?}, {verdict}");
        }
        self.screen.good(&format!("refused: {}", verdict["reason"].as_str().unwrap_or_default()));
        Ok(())
    }

    fn verdicts(
        &self,
        devnet: &Devnet,
        receipt: Option<&Path>,
        documents: &[PathBuf],
    ) -> anyhow::Result<(Option<i32>, Vec<Value>)> {
        let genesis = devnet.genesis();
        let mut arguments: Vec<OsString> =
            vec!["verify".into(), "--json".into(), "--genesis".into(), genesis.into()];
        if let Some(receipt) = receipt {
            arguments.extend(["--receipt".into(), receipt.into()]);
        }
        arguments.extend(documents.iter().map(OsString::from));
        let output = self.client(arguments)?;
        let answer: Value = serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
        Ok((output.status.code(), answer["documents"].as_array().cloned().unwrap_or_default()))
    }

    fn client<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<Output> {
        let mut command = Command::new(&self.binaries.client);
        command.args(arguments).current_dir(self.folder.path()).stderr(Stdio::piped());
        // The journal of the demo's ledger is no business of the user's home folder.
        command.env("XDG_STATE_HOME", self.folder.path().join("state"));
        Ok(process::output(&mut command)?)
    }

    fn more(&self, documents: &[PathBuf]) {
        if documents.len() > LISTED {
            self.screen.good(&format!("and {} more", documents.len() - LISTED));
        }
    }
}

/// Starts the ledger again, leaves it and all files, and says what to do with them.
fn keep_running(
    binaries: &Binaries,
    folder: Workspace,
    document: &Path,
    screen: &Screen,
) -> anyhow::Result<()> {
    let devnet = Devnet::start_as(&folder.path().join("ledger"), AUTHORITIES, Terminal::Detached)?;
    let url = devnet.url().to_owned();
    let (genesis, key) = (quoted(&devnet.genesis()), quoted(&devnet.issuer_key()));
    let client = quoted(&binaries.client);
    let id = devnet.leave_running()?;
    let path = folder.keep();
    screen.step(
        "Go on by yourself",
        &format!("The ledger runs again, and everything lies in {}.", path.display()),
    );
    screen.text("Anchor a document of your own:");
    screen.command(&format!("{client} anchor --node {url} --key {key} --type {TYPE} FILE"));
    screen.text("Verify it, or one of those that are here:");
    screen.command(&format!("{client} verify --genesis {genesis} FILE"));
    screen.command(&format!("{client} verify --genesis {genesis} {}", quoted(document)));
    screen.text("Ask a node how all are:");
    screen.command(&format!("{client} status --node {url}"));
    screen.text("Stop the ledger, and start it again:");
    screen.command(&format!("kill {id}"));
    let ledger = quoted(&path.join("ledger"));
    screen.command(&format!("{} devnet --dir {ledger} --authorities {AUTHORITIES}", quoted(&binaries.node)));
    screen.text("Remove it all, once it is stopped:");
    screen.command(&format!("rm -r {}", quoted(&path)));
    Ok(())
}

/// Flips the lowest bit of the byte in the middle; gives its place and both values.
fn change(bytes: &mut [u8]) -> (usize, u8, u8) {
    let place = bytes.len() / 2;
    let before = bytes[place];
    bytes[place] ^= 1;
    (place, before, bytes[place])
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        .trim()
        .into()
}

/// As a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
