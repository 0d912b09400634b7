//! QEMU's own devices under the driver: real bridges, BAR masks and capability lists, real registers, doorbells and interrupts.
//!
//! No guest runs. The test makes the CPU's bus cycles through qtest, and this project's server gives the device its peers.
//! Every test is skipped, and says so, where QEMU is not installed.

mod assign;
mod closing;
mod doorbells;
mod gone;
mod hotplug;
mod interrupts;
mod mailbox;
mod model;
mod monitor;
mod opening;
mod pci;
mod peers;
mod qtest;
mod rig;
mod site;
mod witness;
