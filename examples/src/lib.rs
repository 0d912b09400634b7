//! The small runtime under the bare-metal images, and nothing an image could do without.
//!
//! An image is a binary of this package that calls [`image!`]. It boots through PVH ([`boot`]), gets a
//! [`machine::Machine`], talks on COM1 ([`serial`]: text, one event a line) and COM2 ([`logger`]: defmt), and ends
//! through isa-debug-exit ([`exit`]). Read [`machine`] first: it puts the other modules in order.
//!
//! To boot one by hand, here polled beside a process of the host (`-append 'key=value ...'` gives options, COM2 is the defmt log):
//!
//! ```text
//! cargo xtask build
//! truncate -s 1M memory
//! qemu-system-x86_64 -M q35 -cpu max -m 128 -nodefaults -display none -no-reboot -serial stdio -serial null \
//!     -device isa-debug-exit,iobase=0xf4,iosize=4 -object memory-backend-file,id=m,mem-path=memory,size=1M,share=on \
//!     -device ivshmem-plain,memdev=m -kernel target/images/echo.elf </dev/null &
//! cargo xtask peer -- send --device file:memory quit
//! ```
//!
//! On a host the crate only checks, lints and runs the unit tests of its pure parts.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod announcer;
pub mod boot;
pub mod clock;
pub mod configuration;
pub mod delivery;
pub mod exceptions;
pub mod executor;
pub mod exit;
pub mod failure;
pub mod interrupts;
pub mod logger;
pub mod machine;
pub mod mechanism;
pub mod options;
pub mod paging;
pub mod pic;
#[cfg(feature = "any-machine")]
pub mod processors;
pub mod response;
pub mod segments;
pub mod serial;
pub mod service;
pub mod start_info;
pub mod station;
pub mod timer;
