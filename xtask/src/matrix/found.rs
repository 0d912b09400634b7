//! What QEMU itself says is in a machine.

use crate::vm::Qmp;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fmt;
use std::ops::RangeInclusive;

/// A function's address as QEMU gives it: bus, device, function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(pub u64, pub u64, pub u64);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0000:{:02x}:{:02x}.{:x}", self.0, self.1, self.2)
    }
}

/// One ivshmem function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub address: Address,
    /// The `id=` that it was given on the command line.
    pub name: String,
    /// Where it is, unless firmware left it unassigned.
    pub bar0: Option<u64>,
    pub bar2: Option<u64>,
    /// Bytes of memory.
    pub size: u64,
    pub subsystem: (u64, u64),
    /// Its vectors, if it is an ivshmem-doorbell.
    pub vectors: Option<u64>,
}

impl Found {
    /// Every ivshmem function of the machine, in ascending order of addresses.
    pub fn all(qmp: &mut Qmp) -> Result<Vec<Self>> {
        let buses = qmp.ask("query-pci", json!({}))?;
        let mut found = Vec::new();
        collect(&buses, qmp, &mut found)?;
        found.sort_by_key(|found| found.address);
        Ok(found)
    }

    pub fn kind(&self) -> &'static str {
        if self.vectors.is_some() { "doorbell" } else { "plain" }
    }
}

/// Where the guest sees the first memory region of this name, if there is one.
pub fn range(qmp: &mut Qmp, name: &str) -> Result<Option<RangeInclusive<u64>>> {
    let tree = qmp.ask("human-monitor-command", json!({ "command-line": "info mtree" }))?;
    let tree = tree.as_str().context("`info mtree` said nothing")?;
    // `  00000000b0000000-00000000bfffffff (prio 0, i/o): pcie-mmcfg-mmio`, or `...: alias NAME @...`
    let named = |line: &&str| line.split_once("): ").is_some_and(|(_, rest)| rest.split(' ').any(|word| word == name));
    let Some(line) = tree.lines().find(named) else { return Ok(None) };
    let (range, _) = line.trim().split_once(' ').with_context(|| format!("no range: {line}"))?;
    let (first, last) = range.split_once('-').with_context(|| format!("no range: {line}"))?;
    Ok(Some(u64::from_str_radix(first, 16)?..=u64::from_str_radix(last, 16)?))
}

/// Picks the ivshmem functions out of what `query-pci` answers.
fn collect(buses: &Value, qmp: &mut Qmp, found: &mut Vec<Found>) -> Result<()> {
    for bus in buses.as_array().context("query-pci returned no list")? {
        for device in bus["devices"].as_array().context("a bus without devices")? {
            if let Some(behind) = device["pci_bridge"].get("devices") {
                collect(&json!([{ "devices": behind }]), qmp, found)?;
            }
            let id = &device["id"];
            if (number(&id["vendor"])?, number(&id["device"])?) != (0x1af4, 0x1110) {
                continue;
            }
            let regions = device["regions"].as_array().context("a function without regions")?;
            let region =
                |bar: u64| regions.iter().find(|region| region["bar"] == bar).with_context(|| format!("no BAR{bar}"));
            let name = device["qdev_id"].as_str().context("a function without a name")?.to_owned();
            found.push(Found {
                address: Address(number(&device["bus"])?, number(&device["slot"])?, number(&device["function"])?),
                bar0: region(0)?["address"].as_u64(),
                bar2: region(2)?["address"].as_u64(),
                size: number(&region(2)?["size"])?,
                subsystem: (number(&id["subsystem-vendor"])?, number(&id["subsystem"])?),
                vectors: vectors(&name, qmp)?,
                name,
            });
        }
    }
    Ok(())
}

/// The vectors of a doorbell device; a plain one has none.
fn vectors(name: &str, qmp: &mut Qmp) -> Result<Option<u64>> {
    let mut property = |property: &str| {
        qmp.ask("qom-get", json!({ "path": format!("/machine/peripheral/{name}"), "property": property }))
    };
    if property("type")? != "ivshmem-doorbell" {
        return Ok(None);
    }
    number(&property("vectors")?).map(Some)
}

fn number(value: &Value) -> Result<u64> {
    value.as_u64().with_context(|| format!("{value} is no number"))
}
