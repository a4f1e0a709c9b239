//! Python with packages from PyPI, installed once, and again only when `requirements.txt` changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, PoisonError},
};

/// A folder below cargo's target folder for what third parties need.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("third-party").join(name)
}

/// The folder of the scripts and of the list of what they need.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("third_party")
}

/// The interpreter of a virtual environment with the packages of `requirements.txt`, made where it is not there.
pub fn python() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let environment = folder("venv");
    let python = environment.join("bin/python");
    let requirements = scripts().join("requirements.txt");
    // Copied there last of all, so it tells that everything before went well.
    let installed = environment.join("requirements.txt");
    let wanted = fs::read(&requirements).unwrap();
    if python.exists() && fs::read(&installed).is_ok_and(|found| found == wanted) {
        return python;
    }

    let output = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment).output();
    let output =
        output.unwrap_or_else(|error| panic!("python3 cannot be started ({error}); run config/setup"));
    assert!(
        output.status.success(),
        "python3 made no virtual environment; run config/setup, which installs python3-venv. It said: {}",
        said(&output)
    );
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "-r",
    ]);
    let output = pip.arg(&requirements).output().unwrap();
    assert!(
        output.status.success(),
        "the packages of {} could not be installed from PyPI. These tests fetch them once and need the network \
         for that; all other tests and the demo do not. pip said: {}",
        requirements.display(),
        said(&output)
    );
    fs::write(&installed, wanted).unwrap();
    python
}

/// What a program said.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
