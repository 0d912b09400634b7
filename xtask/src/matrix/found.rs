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
        let ours = Function::all(qmp)?.into_iter().filter(|function| function.id == (0x1af4, 0x1110));
        ours.map(|function| Self::read(&function, qmp)).collect()
    }

    fn read(function: &Function, qmp: &mut Qmp) -> Result<Self> {
        let region = |bar: u64| {
            let mut regions = function.regions()?.iter();
            regions.find(|region| region["bar"] == bar).with_context(|| format!("no BAR{bar}"))
        };
        let (id, name) =
            (&function.said["id"], function.said["qdev_id"].as_str().context("a function without a name")?);
        Ok(Self {
            address: function.address,
            bar0: region(0)?["address"].as_u64(),
            bar2: region(2)?["address"].as_u64(),
            size: number(&region(2)?["size"])?,
            subsystem: (number(&id["subsystem-vendor"])?, number(&id["subsystem"])?),
            vectors: vectors(name, qmp)?,
            name: name.to_owned(),
        })
    }

    pub fn kind(&self) -> &'static str {
        if self.vectors.is_some() { "doorbell" } else { "plain" }
    }
}

/// Any function, as `query-pci` tells it.
#[derive(Debug)]
pub struct Function {
    pub address: Address,
    /// Vendor and device.
    pub id: (u64, u64),
    said: Value,
}

impl Function {
    /// Every function of the machine, in ascending order of addresses.
    pub fn all(qmp: &mut Qmp) -> Result<Vec<Self>> {
        let mut functions = Vec::new();
        let buses = qmp.ask("query-pci", json!({}))?;
        for bus in buses.as_array().context("query-pci returned no list")? {
            Self::collect(&bus["devices"], &mut functions)?;
        }
        functions.sort_by_key(|function| function.address);
        Ok(functions)
    }

    /// Those of a bus, and of those behind it.
    fn collect(devices: &Value, functions: &mut Vec<Self>) -> Result<()> {
        for device in devices.as_array().context("a bus without devices")? {
            if let Some(behind) = device["pci_bridge"].get("devices") {
                Self::collect(behind, functions)?;
            }
            let (address, id) = (["bus", "slot", "function"].map(|part| number(&device[part])), &device["id"]);
            let [bus, slot, function] = address;
            functions.push(Self {
                address: Address(bus?, slot?, function?),
                id: (number(&id["vendor"])?, number(&id["device"])?),
                said: device.clone(),
            });
        }
        Ok(())
    }

    pub fn is_bridge(&self) -> bool {
        self.said.get("pci_bridge").is_some()
    }

    /// Class and sub-class.
    pub fn class(&self) -> Result<u64> {
        number(&self.said["class_info"]["class"])
    }

    /// BARs and the expansion ROM, whose number is 6.
    pub fn regions(&self) -> Result<&[Value]> {
        Ok(self.said["regions"].as_array().context("a function without regions")?)
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

/// A number that QMP gave.
pub fn number(value: &Value) -> Result<u64> {
    value.as_u64().with_context(|| format!("{value} is no number"))
}
