//! What an image gets: the machine, brought up in a fixed order, and how the image ends.

use crate::exit::{Exit, exit};
use crate::failure::{Failure, Named};
use crate::paging::{self, DeviceMapper};
use crate::start_info::StartInfo;
use crate::{interrupts, logger, pic, say, segments, serial};

/// The machine as an image finds it.
#[derive(Debug)]
pub struct Machine {
    /// The image's name, the first word of each of its lines.
    pub name: &'static str,
    /// The command line.
    pub command_line: &'static str,
    /// Physical address of ACPI's root pointer, if the boot loader gave it.
    pub rsdp: Option<u64>,
    /// Maps device memory.
    pub mapper: DeviceMapper,
}

/// An image failed, and has said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// An image's work. `Ok` ends it as a success.
pub type Run = fn(&mut Machine) -> Result<(), Failed>;

impl Machine {
    /// Says `<image>: error <ErrorName> <details>`.
    pub fn failed(&self, error: &dyn Failure) -> Failed {
        say!("{}: error {}", self.name, Named(error));
        Failed
    }
}

/// Brings the machine up and runs the image. Called by [`image!`](crate::image!) only.
///
/// # Safety
/// This is the first Rust code after [`boot`](crate::boot), and `start_info` is what EBX held at the PVH entry.
pub unsafe fn start(name: &'static str, start_info: u64, run: Run) -> ! {
    serial::COM1.init();
    logger::init();
    segments::init(&segments::FIRST);
    pic::mask_all();
    interrupts::init();
    // SAFETY: the caller's promise; the boot page tables are still the active ones.
    let start_info = match unsafe { StartInfo::read(start_info) } {
        Ok(start_info) => start_info,
        Err(error) => {
            say!("{name}: error {}", Named(&error));
            exit(Exit::Failure)
        }
    };
    let StartInfo { command_line, rsdp } = start_info;
    // SAFETY: the caller promises that the boot page tables are the active ones, and this function runs once.
    let mapper = unsafe { paging::mapper() };
    let mut machine = Machine { name, command_line, rsdp, mapper };
    match run(&mut machine) {
        Ok(()) => exit(Exit::Success),
        Err(Failed) => exit(Exit::Failure),
    }
}

/// Makes a binary an image: `image!(run)` with a [`Run`].
#[macro_export]
macro_rules! image {
    ($run:expr) => {
        /// What the boot code calls.
        ///
        /// # Safety
        /// Only the boot code calls it, once, in long mode, with the start info's physical address.
        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        unsafe extern "sysv64" fn image_start(start_info: u64) -> ! {
            // SAFETY: the boot code calls this as its last step, with what EBX held.
            unsafe { $crate::machine::start(env!("CARGO_BIN_NAME"), start_info, $run) }
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            const _: $crate::machine::Run = $run;
            panic!("an image boots in a virtual machine: build it for x86_64-unknown-none");
        }
    };
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    x86_64::instructions::interrupts::disable();
    say!("panic: {info}");
    exit(Exit::Failure)
}
