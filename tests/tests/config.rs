//! Every file under `config/` is executed or parsed by a test. Those of the node's examples are with the node.
#![allow(clippy::unwrap_used)]

mod workspace;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use workspace::{files, read, root};

/// Each file, and where the test is that would notice if it were broken.
const TESTED: &[(&str, &str, &str)] = &[
    ("config/compiler/c++", HERE, "the_compilers_compile"),
    ("config/compiler/cc", HERE, "the_compilers_compile"),
    (
        "config/genesis.example.toml",
        NODE,
        "the_genesis_example_is_sound_and_says_that_its_keys_are_no_secret",
    ),
    (
        "config/nginx/markstein.conf",
        "tests/tests/nginx.rs",
        "grpc_json_and_pages_go_through_nginx_and_the_node_knows_who_asks",
    ),
    ("config/node.example.toml", NODE, "the_node_example_is_read_and_fits_the_genesis_example"),
    ("config/observer.example.toml", NODE, "the_observer_example_is_read_and_fits_the_other_two"),
    ("config/prometheus/alerts.yml", NODE, "alerts_are_on_what_a_node_measures"),
    ("config/prometheus/markstein.yml", NODE, "prometheus_scrapes_the_operators_listener"),
    ("config/samples/abgeschlossenheit-63-AB-2026-00021.xml", HERE, "the_samples_are_what_they_look_like"),
    ("config/samples/baugenehmigung-63-BA-2026-00417.pdf", HERE, "the_samples_are_what_they_look_like"),
    ("config/samples/bauvorbescheid-63-VB-2026-00093.txt", HERE, "the_samples_are_what_they_look_like"),
    ("config/samples/bewilligung-51-HZE-2026-01288.txt", HERE, "the_samples_are_what_they_look_like"),
    ("config/samples/verkehrsanordnung-32-VA-2026-00560.json", HERE, "the_samples_are_what_they_look_like"),
    ("config/setup", HERE, "setup_installs_what_is_missing_and_nothing_twice"),
    ("config/systemd/markstein-node.service", NODE, "the_service_runs_the_node_and_leaves_it_time_to_stop"),
];
const HERE: &str = "tests/tests/config.rs";
const NODE: &str = "node/tests/config_files.rs";

#[test]
fn every_file_is_tested() {
    let found: BTreeSet<String> = files().into_iter().filter(|file| file.starts_with("config/")).collect();
    let listed: BTreeSet<String> = TESTED.iter().map(|(file, ..)| (*file).to_owned()).collect();
    assert_eq!(found, listed, "write a test for each new file, and name both here");
    for (file, source, test) in TESTED {
        assert!(
            read(source).contains(&format!("#[test]\nfn {test}()")),
            "{file}: {source} has no test {test}"
        );
    }
}

#[test]
fn setup_finds_everything_on_the_machine_that_runs_the_tests() {
    let output = Command::new(root().join("config/setup")).arg("--check").output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stdout}{stderr}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(stdout.starts_with("setup: everything is there"), "{stdout}");
}

#[test]
fn setup_installs_what_is_missing_and_nothing_twice() {
    let machine = Machine::new();
    machine.program("id", "echo 0");
    machine.program(
        "apt-get",
        "echo \"apt-get $*\" >> \"$(dirname \"$0\")/../calls\"; case \"$1\" in install) \
         for p in cc c++ ccache ip tc nft faketime go chromium chromedriver nginx; do printf '#!/bin/sh\\n' > \"$(dirname \"$0\")/$p\"; \
         chmod +x \"$(dirname \"$0\")/$p\"; done;; esac",
    );
    let (stdout, stderr) = texts(&machine.setup(&[]));
    let calls = fs::read_to_string(machine.folder.path().join("calls")).unwrap();
    assert_eq!(calls.lines().count(), 2, "{calls}{stderr}");
    assert!(calls.lines().nth(1).unwrap().contains("build-essential") && calls.contains("ccache"), "{calls}");
    assert!(
        stdout.contains("installing build-essential") && stdout.contains("everything is there"),
        "{stdout}{stderr}"
    );

    let again = machine.setup(&[]);
    let (stdout, stderr) = texts(&again);
    assert!(again.status.success() && stderr.is_empty(), "{stderr}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert_eq!(
        fs::read_to_string(machine.folder.path().join("calls")).unwrap(),
        calls,
        "nothing is done twice"
    );
}

#[test]
fn setup_says_what_is_missing_where_it_cannot_install() {
    // Another distribution: there is no apt-get.
    let machine = Machine::new();
    let output = machine.setup(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("missing: build-essential"), "{output:?}");

    // Debian, but neither root nor sudo.
    machine.program("id", "echo 1000");
    machine.program("apt-get", "echo called >> \"$(dirname \"$0\")/../calls\"");
    let output = machine.setup(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("as root, run: apt-get install -y build-essential"), "{output:?}");

    // A sudo that asks for a password, and nobody there to type it.
    machine.program("sudo", "[ \"$1\" = -n ] && exit 1; sleep 600");
    let output = machine.setup(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("as root, run: apt-get install -y build-essential"), "{output:?}");

    // Only asked to look.
    machine.program("id", "echo 0");
    assert_eq!(machine.setup(&["--check"]).status.code(), Some(1));
    assert!(!machine.folder.path().join("calls").exists(), "nothing was installed");
}

#[test]
fn setup_works_through_sudo() {
    let machine = Machine::new();
    machine.program("id", "echo 1000");
    machine.program("sudo", "[ \"$1\" = -n ] || exit 1; shift; exec \"$@\"");
    machine.program("apt-get", "echo \"$1\" >> \"$(dirname \"$0\")/../calls\"");
    let output = machine.setup(&[]);
    let calls = fs::read_to_string(machine.folder.path().join("calls")).unwrap();
    assert_eq!(calls, "update\ninstall\n");
    // This apt-get installs nothing, and that must not pass for success.
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("still not found: build-essential"), "{output:?}");
}

#[test]
fn setup_wants_a_rust_that_is_new_enough() {
    for (version, expected) in
        [("1.88.1", Some(1)), ("1.9.0", Some(1)), ("1.89.0", Some(0)), ("2.0.0", Some(0))]
    {
        let machine = Machine::new();
        for program in ["cc", "c++", "ccache"] {
            machine.program(program, "");
        }
        machine.program("cargo", &format!("echo 'cargo {version} (0123456 2026-01-01)'"));
        let output = machine.setup(&[]);
        assert_eq!(output.status.code(), expected, "{version}: {output:?}");
    }
    let machine = Machine::new();
    fs::remove_file(machine.folder.path().join("bin/cargo")).unwrap();
    assert!(texts(&machine.setup(&[])).1.contains("no Rust toolchain"));
}

#[test]
fn the_compilers_compile() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("empty.c");
    fs::write(&source, "int markstein;\n").unwrap();
    for compiler in ["cc", "c++"] {
        let object = folder.path().join(format!("{compiler}.o"));
        let output = Command::new(root().join("config/compiler").join(compiler))
            .args(["-c", "-o"])
            .args([&object, &source])
            .output()
            .unwrap();
        assert!(output.status.success() && object.exists(), "{compiler}: {output:?}");
    }
}

#[test]
fn the_samples_are_what_they_look_like() {
    let samples: Vec<String> =
        files().into_iter().filter(|file| file.starts_with("config/samples/")).collect();
    assert!(samples.len() >= 4, "{samples:?}");
    for file in samples {
        let bytes = fs::read(root().join(&file)).unwrap();
        assert!((1024..=5 * 1024).contains(&bytes.len()), "{file} has {} bytes", bytes.len());
        match Path::new(&file).extension().unwrap().to_str().unwrap() {
            "pdf" => assert_pdf(&bytes),
            "xml" => assert_xml(std::str::from_utf8(&bytes).unwrap()),
            "json" => drop(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()),
            "txt" => assert!(std::str::from_utf8(&bytes).unwrap().ends_with('\n'), "{file}"),
            other => panic!("{file}: no test for .{other}"),
        }
    }
}

/// The table at the end must name the place of every object, or readers call the file damaged.
fn assert_pdf(bytes: &[u8]) {
    assert!(bytes.starts_with(b"%PDF-1."));
    // One character for each byte, so that places in the text are places in the file.
    let text: String =
        bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    let (_, end) = text.rsplit_once("startxref\n").unwrap();
    let table: usize = end.strip_suffix("\n%%EOF\n").unwrap().parse().unwrap();
    let mut lines = text[table..].lines();
    assert_eq!(lines.next(), Some("xref"));
    let count: usize = lines.next().unwrap().strip_prefix("0 ").unwrap().parse().unwrap();
    for number in 1..count {
        let offset: usize = lines.by_ref().nth(usize::from(number == 1)).unwrap()[..10].parse().unwrap();
        assert!(text[offset..].starts_with(&format!("{number} 0 obj\n")), "object {number}");
    }
    let length: usize = text.split_once("/Length ").unwrap().1.split_once(' ').unwrap().0.parse().unwrap();
    let stream = text.split_once("stream\n").unwrap().1.split_once("\nendstream").unwrap().0;
    assert_eq!(stream.len(), length);
}

/// Every element that begins also ends, in the right order.
fn assert_xml(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap();
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.starts_with(['?', '!']) && !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// A machine with nothing but a shell's usual tools, Python, libclang and Rust; no compiler, no apt-get.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(machine.folder.path().join("bin")).unwrap();
        for tool in ["sh", "sed", "sort", "head", "dirname", "env", "chmod", "true"] {
            let path = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
            let path = path.iter().find(|path| path.exists()).unwrap();
            symlink(path, machine.folder.path().join("bin").join(tool)).unwrap();
        }
        machine.program("cargo", "echo 'cargo 1.95.0 (0123456 2026-01-01)'");
        machine.program("python3", "");
        machine
    }

    /// A program on this machine.
    fn program(&self, name: &str, script: &str) {
        let path = self.folder.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn setup(&self, arguments: &[&str]) -> Output {
        Command::new("/bin/sh")
            .arg(root().join("config/setup"))
            .args(arguments)
            .env_clear()
            .env("PATH", self.folder.path().join("bin"))
            .env("LIBCLANG_PATH", self.folder.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
