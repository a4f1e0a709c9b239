//! A node's configuration: what is accepted keeps the promises of the checked form.
#![no_main]

use std::{path::Path, str, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use markstein_fuzz::config::NodeConfig;
use markstein_proto::{BATCH_MAX, Genesis};

static GENESIS: LazyLock<Genesis> = LazyLock::new(|| {
    let text = include_str!("../../../config/genesis.example.toml");
    Genesis::from_toml(text).expect("the example is a genesis")
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let parse = || NodeConfig::parse(text, Path::new("/etc/markstein/node.toml"));
    let config = match parse() {
        Ok(config) => config,
        Err(error) => return assert!(error.to_string().starts_with("/etc/markstein/node.toml: ")),
    };
    assert_eq!(parse().ok().as_ref(), Some(&config));
    let pool = config.pool;
    assert!((BATCH_MAX as u64..=pool.bytes_max).contains(&pool.bytes_per_issuer_max));
    assert!(!config.api.listeners.is_empty() && config.api.connections_max > 0);
    assert!(!config.keys_dir.starts_with(&config.data_dir));
    let _ = config.network_in(&GENESIS);
});
