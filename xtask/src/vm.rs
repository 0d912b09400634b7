//! Virtual machines and their companions, supervised: whatever ends xtask also ends them and leaves nothing behind.

mod accelerator;
mod defmt;
pub mod huge_pages;
mod initramfs;
mod link;
mod linux;
mod load;
mod log;
mod memory;
mod operator;
mod process;
mod qemu;
mod qmp;
mod realtime;
mod run_dir;
mod session;

pub use accelerator::Accelerator;
pub use huge_pages::HugePages;
pub use link::{Attachment, Link, Mode};
pub use load::{Load, Loading};
pub use log::{Echo, Fields, PATIENCE};
pub use operator::{Operator, Place, Talk};
pub use process::{Launch, Process};
pub use qemu::Machine;
pub use qmp::Qmp;
pub use realtime::{Image, RealTime};
pub use run_dir::{Reap, RunDir};
pub use session::Session;
