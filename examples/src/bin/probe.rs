#![cfg_attr(target_os = "none", no_std, no_main)]
use ivshmem_examples::{say, machine::{Machine, Failed}, clock::Clock};
ivshmem_examples::image!(run);
fn run(machine: &mut Machine) -> Result<(), Failed> {
    say!("probe: begin {:?} {:?}", machine.command_line, machine.rsdp);
    let clock = Clock::calibrate().map_err(|e| machine.failed(e))?;
    say!("khz {}", clock.khz());
    defmt::info!("hello {=u64}", clock.khz());
    if machine.command_line.contains("fault") { unsafe { core::ptr::with_exposed_provenance_mut::<u64>(0x380000).write_volatile(4) }; }
    if machine.command_line.contains("over") { over(0); }
    if machine.command_line.contains("panic") { panic!("hi"); }
    say!("probe: end");
    Ok(())
}
#[allow(unconditional_recursion)]
#[inline(never)]
fn over(n: u64) -> u64 { let a = core::hint::black_box([n; 100]); over(n + a[4]) + a[7] }
