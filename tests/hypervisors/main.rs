//! The whole driver, and a mailbox between two VMs, on models of hypervisors that it was not run on.

#![cfg(all(unix, target_arch = "x86_64"))]

mod acrn;
mod device_model;
mod foreign;
mod plain;

use ivshmem::channel::{Attach, Channel, End, Mailbox};
use ivshmem::device::{Device, OpenError, Options, Selector};
use ivshmem::fake::config::Function;
use ivshmem::fake::vm::{Standard, Vm};
use ivshmem::memory::SharedMemory;
use ivshmem::msix::{Interrupts, Message};
use ivshmem::pci::{Address, ConfigAccess};

/// A command channel and a response channel, rung at vectors 1 and 2.
const CHANNELS: [Channel; 2] =
    [Channel::queuing(End::First, 8, 56).vector(1), Channel::queuing(End::Second, 8, 56).vector(2)];
/// Vectors in use.
const VECTORS: u16 = 3;
/// The message of vector 0; those of the next ones follow.
const DATA: u32 = 0x40;

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

/// A VM that has a host bridge and a virtio device besides.
fn vm_with_others() -> Vm {
    let other = |vendor, device, class| Standard::new(Function::new(vendor, device).class(class, 0));
    Vm::new()
        .with(at("00:00.0"), other(0x8086, 0x5AF0, 0x06_0000))
        .with(at("00:01.0"), other(0x1AF4, 0x1041, 0x02_0000))
}

fn open(access: &impl ConfigAccess, vm: &Vm, selector: Selector, options: Options) -> Result<Device, OpenError> {
    // SAFETY: configuration space and mapper are one model's.
    unsafe { Device::open(access, &mut vm.mapper(), selector, options) }
}

fn open_first(vm: &Vm) -> Result<Device, OpenError> {
    open(vm, vm, Selector::default(), Options::default())
}

fn enable(device: &mut Device, access: &impl ConfigAccess) -> Interrupts {
    let messages: Vec<_> = (0..VECTORS as u8).map(|n| Message::new(0, DATA as u8 + n).unwrap()).collect();
    device.enable_interrupts(access, &messages).unwrap()
}

/// Two ends that poll, on memory with anything in it, exchange messages both ways.
fn exchange_polled(first: SharedMemory, second: SharedMemory) {
    let mut first = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut second = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let (mut first_link, mut first) = first.attach(Attach::polled());
    let (mut second_link, mut second) = second.attach(Attach::polled());
    for _ in 0..3 {
        first_link.poll(0);
        second_link.poll(0);
    }
    assert!(first_link.poll(0).is_up() && second_link.poll(0).is_up());
    let (mut commands, mut responses) = (first.sender(0).unwrap(), first.receiver(1).unwrap());
    let (mut received, mut answers) = (second.receiver(0).unwrap(), second.sender(1).unwrap());
    let mut buffer = [0; 56];
    for n in 0..20u8 {
        assert!(!commands.try_send(&[n; 56]).unwrap().is_due(), "who polls is never rung");
        assert_eq!(received.try_recv(&mut buffer), Ok(Some(&[n; 56][..])));
        assert!(!answers.try_send(&[n; 3]).unwrap().is_due());
        assert_eq!(responses.try_recv(&mut buffer), Ok(Some(&[n; 3][..])));
    }
}

/// One VM's device, opened, with its interrupts enabled.
struct Party<'a> {
    device: &'a mut Device,
    /// How often a message with this data has reached the VM.
    count: &'a dyn Fn(u32) -> u32,
}

/// Two ends that sleep exchange messages both ways; each message to a sleeper rings it exactly once.
fn exchange_by_doorbell(first: Party<'_>, second: Party<'_>) {
    let bells = [first.device.doorbell().unwrap(), second.device.doorbell().unwrap()];
    let ids = [first.device.id(), second.device.id()];
    let [mut first_memory, mut second_memory] = [first.device, second.device].map(|device| device.memory());
    let mut ends = (
        Mailbox::new(first_memory.take().unwrap(), End::First, &CHANNELS).unwrap(),
        Mailbox::new(second_memory.take().unwrap(), End::Second, &CHANNELS).unwrap(),
    );
    let (mut first_link, mut first_half) = ends.0.attach(Attach::interrupt_driven(ids[0]));
    let (mut second_link, mut second_half) = ends.1.attach(Attach::interrupt_driven(ids[1]));
    for _ in 0..3 {
        first_link.poll(0);
        second_link.poll(0);
    }
    assert!(first_link.poll(0).is_up() && second_link.poll(0).is_up());
    assert_eq!((first_link.peer_id(), second_link.peer_id()), (Some(ids[1]), Some(ids[0])));
    let (mut commands, mut responses) = (first_half.sender(0).unwrap(), first_half.receiver(1).unwrap());
    let (mut received, mut answers) = (second_half.receiver(0).unwrap(), second_half.sender(1).unwrap());
    let mut buffer = [0; 56];
    assert_eq!((received.try_recv(&mut buffer), responses.try_recv(&mut [0; 56])), (Ok(None), Ok(None)));
    for n in 0..20u8 {
        assert!(!received.arm() && !responses.arm());
        let before = ((second.count)(DATA + 1), (first.count)(DATA + 2));
        assert_eq!(commands.try_send(&[n; 56]).unwrap().ring(&bells[0]), Ok(true));
        assert_eq!((second.count)(DATA + 1), before.0 + 1);
        assert_eq!(received.try_recv(&mut buffer), Ok(Some(&[n; 56][..])));
        assert_eq!(answers.try_send(&[n; 3]).unwrap().ring(&bells[1]), Ok(true));
        assert_eq!((first.count)(DATA + 2), before.1 + 1);
        assert_eq!(responses.try_recv(&mut buffer), Ok(Some(&[n; 3][..])));
        assert_eq!((received.try_recv(&mut buffer), responses.try_recv(&mut [0; 56])), (Ok(None), Ok(None)));
    }
}
