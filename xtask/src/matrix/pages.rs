//! By which pages an image maps the memory, and the memory type that it gets: what `probe` says with `memory=yes`.

use super::scene::finish;
use super::{Bench, Case, Shown};
use crate::vm::{Link, Machine, Session};
use anyhow::{Context, Result, ensure};

const GROUP: &str = "pages";

/// Bytes of memory; the smallest page in its mapping; and what firmware's MTRRs make of its place: SeaBIOS has everything above
/// 4 GiB cached and the hole below not, without PCI it has no MTRRs set, and then nothing is.
const SITES: [(Machine, u64, &str, &str); 6] = [
    (Machine::Q35, 64 << 10, "4KiB", "UC"),
    (Machine::Q35, 2 << 20, "2MiB", "UC"),
    (Machine::Q35, 256 << 20, "2MiB", "UC"),
    (Machine::Q35, 4 << 30, "1GiB", "WB"),
    (Machine::Pc, 2 << 30, "1GiB", "WB"),
    (Machine::Microvm, 1 << 30, "1GiB", "UC"),
];

pub fn cases() -> Vec<Case> {
    let cases = SITES.into_iter().map(|(machine, size, page, memory_type)| {
        let memory = match size.ilog2() {
            ..20 => format!("{} KiB", size >> 10),
            20..30 => format!("{} MiB", size >> 20),
            30.. => format!("{} GiB", size >> 30),
        };
        let place = format!("{memory} in pages of {page}, {memory_type} by PAT and MTRRs");
        Case::new(GROUP, place, machine.name(), move |bench, session| {
            told(bench, session, machine, size, page, memory_type)
        })
    });
    cases.collect()
}

fn told(
    bench: &Bench,
    session: &mut Session,
    machine: Machine,
    size: u64,
    page: &str,
    memory_type: &str,
) -> Result<Shown> {
    let mut image = bench.image("probe").options("memory=yes");
    image.machine = machine;
    let image = image.start(session, vec![Link::plain(size)?.attach(0)?])?;
    let log = image.process().log().clone();
    let lines = finish(image)?;
    let said = log.all("probe: memory ").into_iter().next().with_context(|| format!("no such line: {lines:#?}"))?;
    // Whether loads were fast is told, but not judged: the host may have been busy.
    ensure!(["cached", "uncached"].contains(&said.text("measured")?), "{}", said.line());
    said.number("cycles")?;
    let found = (said.text("pages")?, said.text("type")?);
    ensure!(found == (page, memory_type), "{found:?}: {}", said.line());
    Ok(Shown::new(&["found"]))
}
