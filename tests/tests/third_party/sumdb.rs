//! Go's `golang.org/x/mod/sumdb`, packages `note` and `tlog`: Debian has their sources, and a small program is built on
//! them without any network.

use std::{
    fs,
    io::{Write, stderr},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    exports::Exports,
    judge,
    python::{folder, scripts},
    said, tampered,
};

/// Where Debian's `golang-golang-x-mod-dev` puts Go's sources.
const SOURCES: &str = "/usr/share/gocode";
/// Set to `1` where Go cannot be had: this test is left out then, and only then.
const WITHOUT: &str = "MARKSTEIN_WITHOUT_GO";

#[test]
fn gos_note_and_tlog_accept_what_we_export_and_refuse_what_was_changed() {
    if std::env::var_os(WITHOUT).is_some_and(|value| value == "1") {
        // Straight to the error stream, so that it is seen where a test passes, too.
        let _ = writeln!(stderr(), "\nNOT CHECKED with golang.org/x/mod/sumdb: {WITHOUT}=1 is set\n");
        return;
    }
    let program = built();
    judge("golang.org/x/mod/sumdb", &tampered::of_the_log(Exports::made()), |exports| {
        let folder = tempfile::tempdir().unwrap();
        exports.write(folder.path());
        let output = Command::new(&program).arg(folder.path()).output().unwrap();
        match output.status.code() {
            Some(0) => Ok(()),
            Some(1) => Err(said(&output)),
            _ => panic!("the program failed: {}", said(&output)),
        }
    });
}

/// The program, built anew where its source or the compiler changed; Go's own cache knows.
fn built() -> PathBuf {
    let help = format!(
        "this test needs Go and Debian's golang-golang-x-mod-dev: run config/setup, or set {WITHOUT}=1 where they \
         cannot be had, and know that nothing is checked with them then"
    );
    let package = "src/golang.org/x/mod/sumdb/tlog";
    assert!(Path::new(SOURCES).join(package).is_dir(), "{SOURCES}/{package} is not there: {help}");
    let target = folder("sumdb");
    fs::create_dir_all(&target).unwrap();
    let program = target.join("verify");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg(scripts().join("sumdb/verify.go"));
    // Sources from Debian only: no modules, no newer compiler from elsewhere, nothing of the user's own settings.
    go.env("GO111MODULE", "off").env("GOPATH", SOURCES).env("GOTOOLCHAIN", "local").env("GOFLAGS", "");
    go.env("GOCACHE", target.join("cache")).current_dir(&target);
    let output = go.output().unwrap_or_else(|error| panic!("go cannot be started ({error}): {help}"));
    assert!(output.status.success(), "go built nothing: {}\n{help}", said(&output));
    program
}
