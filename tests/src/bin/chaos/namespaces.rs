//! A network namespace for each node, joined by a bridge in that of this process.
//!
//! This process was started in namespaces of its own (see `inside.rs`), so names and addresses clash with nobody's,
//! and all of it is gone as soon as this process is, however it ends. The bridge also has this process's own address:
//! the clients. Rules on what is forwarded from one node to another leave their way free.

use std::{ffi::OsString, fs, path::Path};

use anyhow::Context;

use crate::{
    plan::{AUTHORITIES, Fault},
    tools::run,
};

const API_PORT: u16 = 4600;
const OPERATOR_PORT: u16 = 4601;
const NETWORK_PORT: u16 = 4602;

/// The namespaces of all nodes.
#[derive(Debug)]
pub struct Namespaces(());

impl Namespaces {
    /// Makes them. The system's folder of run-time files is covered by an empty one first, where only we see it.
    pub fn new() -> anyhow::Result<Self> {
        run("mount", &["-t", "tmpfs", "tmpfs", "/run"], "")?;
        fs::create_dir("/run/netns")?;
        let mut links = String::from("link set lo up\nlink add name bridge type bridge\n");
        links += &format!("addr add {}/24 dev bridge\nlink set bridge up\n", address(AUTHORITIES));
        for i in 0..AUTHORITIES {
            run("ip", &["netns", "add", &format!("node{i}")], "")?;
            links += &format!("link add port{i} type veth peer name uplink netns node{i}\n");
            links += &format!("link set port{i} master bridge up\n");
        }
        run("ip", &["-batch", "-"], &links)?;
        for i in 0..AUTHORITIES {
            let own = format!("link set lo up\naddr add {}/24 dev uplink\nlink set uplink up\n", address(i));
            run("ip", &["-n", &format!("node{i}"), "-batch", "-"], &own)?;
        }
        let namespaces = Self(());
        namespaces.apply(&[])?;
        Ok(namespaces)
    }

    /// Tries all that a run needs: rules, a slow link, a small disk.
    pub fn probe() -> anyhow::Result<()> {
        let namespaces = Self::new()?;
        namespaces.apply(&[Fault::CutOff(1), Fault::Loss(0, 10), Fault::Slow(0, 100)])?;
        namespaces.apply(&[])?;
        fs::create_dir("/run/disk")?;
        run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", "/run/disk"], "")?;
        run("nsenter", &["--net=/run/netns/node0", "true"], "")
    }

    /// The words before a node's program.
    pub fn words(i: usize) -> Vec<OsString> {
        vec!["nsenter".into(), format!("--net=/run/netns/node{i}").into(), "--".into()]
    }

    /// Writes addresses of the namespaces into the configuration of a node.
    pub fn configure(config: &Path, i: usize) -> anyhow::Result<()> {
        crate::setup::edit(config, |file| {
            let api = file["api"].as_table_mut().context("no [api]")?;
            api.insert("listen".into(), vec![format!("{}:{API_PORT}", address(i))].into());
            api.insert("insecure".into(), true.into()); // nobody else is in there
            file["operator"]["listen"] = format!("127.0.0.1:{OPERATOR_PORT}").into();
            file["network"]["listen"] = vec![format!("{}:{NETWORK_PORT}", address(i))].into();
            crate::setup::name_peers(file, i, |other| format!("{}:{NETWORK_PORT}", address(other)))
        })
    }

    /// Puts exactly these faults into force; those that are not about the network change nothing.
    pub fn apply(&self, faults: &[Fault]) -> anyhow::Result<()> {
        let mut rules = String::from(
            "add table bridge chaos\n\
             add chain bridge chaos forward { type filter hook forward priority 0; policy accept; }\n\
             flush chain bridge chaos forward\n",
        );
        let mut rule = |text: String| rules += &format!("add rule bridge chaos forward {text} drop\n");
        let mut slow = [None; AUTHORITIES];
        for fault in faults {
            match *fault {
                Fault::CutOff(i) => {
                    ["iifname", "oifname"].iter().for_each(|end| rule(format!("{end} port{i}")))
                }
                Fault::Halves(with) => {
                    for there in (1..AUTHORITIES).filter(|i| *i != with) {
                        for here in [0, with] {
                            rule(format!("iifname port{here} oifname port{there}"));
                            rule(format!("iifname port{there} oifname port{here}"));
                        }
                    }
                }
                Fault::Loss(i, percent) => {
                    for end in ["iifname", "oifname"] {
                        rule(format!("{end} port{i} numgen random mod 100 < {percent}"));
                    }
                }
                Fault::Slow(i, kbit) => slow[i] = Some(kbit),
                _ => {}
            }
        }
        run("nft", &["-f", "-"], &rules)?;
        (0..AUTHORITIES).try_for_each(|i| set_speed(i, slow[i]))
    }
}

/// Of a node, or of this process after the last one.
fn address(i: usize) -> String {
    format!("10.77.0.{}", i + 1)
}

/// Bounds what a node sends and receives, clients included, or lifts the bound.
fn set_speed(i: usize, kbit: Option<u32>) -> anyhow::Result<()> {
    let node = format!("node{i}");
    let port = format!("port{i}");
    for (place, device) in [(vec!["-n", &node], "uplink"), (vec![], port.as_str())] {
        match kbit {
            Some(kbit) => {
                let rate = format!("{kbit}kbit");
                let change = ["qdisc", "replace", "dev", device, "root", "tbf", "rate", &rate];
                run("tc", &[&place[..], &change, &["burst", "16kb", "latency", "400ms"]].concat(), "")?;
            }
            // Without a bound there is nothing to delete, and tc complains.
            None => drop(run("tc", &[&place[..], &["qdisc", "del", "dev", device, "root"]].concat(), "")),
        }
    }
    Ok(())
}
