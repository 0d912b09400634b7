//! Two-VM scenarios in which both ends live from beginning to end.

use super::rig::Rig;
use super::suite::{Suite, Verdict};
use crate::exchange::{Exchange, Order, Report};
use crate::vm::{Machine, Mode};
use anyhow::{Result, ensure};

pub fn add(suite: &mut Suite) {
    suite.case("exchange: Linux by VFIO, interrupts, q35, both VMs started together", |rig| {
        let exchange = Exchange::new(Mode::Doorbell, rig.images()?, rig.linux()?);
        run(rig, exchange).map(drop)
    });
    suite.case("exchange: Linux by sysfs, polled, q35, both VMs started together", |rig| {
        let exchange = Exchange::new(Mode::Plain, rig.images()?, rig.linux()?);
        run(rig, exchange).map(drop)
    });
    suite.case("exchange: Linux by VFIO, interrupts, pc", |rig| {
        let exchange = Exchange::new(Mode::Doorbell, rig.images()?, rig.linux()?);
        run(rig, Exchange { machine: Machine::Pc, ..exchange }).map(drop)
    });
    for (order, name) in [(Order::RealTimeFirst, "the real-time VM first"), (Order::OperatorFirst, "Linux first")] {
        suite.case(&format!("exchange: start order is free, {name}, interrupts"), move |rig| {
            let exchange = Exchange::new(Mode::Doorbell, rig.images()?, rig.linux()?);
            run(rig, Exchange { order, ..exchange }).map(drop)
        });
        suite.case(
            &format!("exchange: start order is free, {name} (a host process in its place), polled"),
            move |rig| {
                let exchange = Exchange::new(Mode::Plain, rig.images()?, rig.host()?);
                run(rig, Exchange { order, ..exchange }).map(drop)
            },
        );
    }
    suite.case("exchange: ids that are not 0 and 1", |rig| {
        let exchange = Exchange::new(Mode::Doorbell, rig.images()?, rig.linux()?);
        let report = run(rig, Exchange { first_id: 65_534, ..exchange })?;
        let mut ids: Vec<u64> = report.up().iter().map(|line| line.number("peer")).collect::<Result<_>>()?;
        ids.sort_unstable();
        ensure!(ids == [65_534, 65_535], "the ends call each other {ids:?}");
        Ok(())
    });
    suite.case("exchange: one processor, on which emulated fences order nothing", |rig| {
        let exchange = Exchange::new(Mode::Doorbell, rig.images()?, rig.host()?);
        run(rig, Exchange { processors: 1, commands: 1000, ..exchange }).map(drop)
    });
    suite.case("exchange: 2000 commands in a stream, interrupts", |rig| {
        let exchange = Exchange::new(Mode::Doorbell, rig.images()?, rig.host()?);
        run(rig, Exchange { commands: 2000, ..exchange }).map(drop)
    });
    suite.verdict("exchange: the host's huge pages, by ivshmem-server -m, interrupts", |rig| {
        huge_pages(rig, Mode::Doorbell)
    });
    suite.verdict("exchange: the host's huge pages, polled", |rig| huge_pages(rig, Mode::Plain));
    suite.case("exchange: 16 GiB of shared memory", |rig| {
        let exchange = Exchange::new(Mode::Doorbell, rig.images()?, rig.host()?);
        run(rig, Exchange { size: 16 << 30, ..exchange }).map(drop)
    });
}

/// Without root, or in a container that keeps them from it, there are none to be had, and the reason is told.
fn huge_pages(rig: &Rig, mode: Mode) -> Result<Verdict> {
    let exchange = Exchange { size: 4 << 20, huge_pages: true, ..Exchange::new(mode, rig.images()?, rig.host()?) };
    if let Err(reason) = rig.session(|session| exchange.reserve(session).map(drop)) {
        return Ok(Verdict::Skipped(format!("{:#}", reason).lines().next().unwrap_or_default().to_owned()));
    }
    run(rig, exchange).map(|_| Verdict::Passed)
}

fn run(rig: &Rig, exchange: Exchange) -> Result<Report> {
    let report = rig.session(|session| exchange.run(session))?;
    println!("{}", report.text()?);
    Ok(report)
}
