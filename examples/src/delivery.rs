//! How the device's interrupts are delivered: the local APICs' mode and the CPU that takes them, by the options `apic=` and `irq_cpu=`.
//!
//! Without the feature `any-machine` it is this CPU, in the mode that firmware left.

#[cfg(feature = "any-machine")]
pub use chosen::{Delivery, is_elsewhere};
#[cfg(not(feature = "any-machine"))]
pub use fixed::{Delivery, is_elsewhere};

#[cfg(feature = "any-machine")]
mod chosen {
    use crate::clock::Clock;
    use crate::options::{Mode, OptionError, Options};
    use crate::paging::DeviceMapper;
    use crate::processors::{self, ProcessorError};
    use crate::say;
    use core::str::FromStr;
    use core::sync::atomic::{AtomicBool, Ordering};
    use ivshmem::interrupt::{ApicError, ApicMode, LocalApic};

    static ELSEWHERE: AtomicBool = AtomicBool::new(false);

    /// Whether another CPU than the image's takes the device's interrupts.
    pub fn is_elsewhere() -> bool {
        // Relaxed: set by this CPU, before the device can interrupt.
        ELSEWHERE.load(Ordering::Relaxed)
    }

    /// What the two options say.
    #[derive(Clone, Copy, Debug)]
    pub struct Delivery {
        mode: Option<AskedMode>,
        cpu: Option<u32>,
    }

    impl Delivery {
        /// What a command line says of them.
        pub fn asked<'a>(options: &Options<'a>) -> Result<Self, OptionError<'a>> {
            let mode = options.get("apic", "x2apic, or nothing for the mode that firmware left")?;
            Ok(Self { mode, cpu: options.get("irq_cpu", "a local APIC's id")? })
        }

        /// Enters x2APIC mode if that is asked for. Before anything uses the local APIC.
        pub fn choose_mode(&self) -> Result<(), ApicError> {
            match self.mode {
                None => Ok(()),
                // SAFETY: the image runs in ring 0, and nothing has used the page yet.
                Some(AskedMode) => unsafe { LocalApic::enter_x2apic() },
            }
        }

        /// Starts the CPU that is to take interrupts, if it is not this one, and gives its id.
        pub fn start(&self, mapper: &mut DeviceMapper, clock: Clock, own: &LocalApic) -> Result<u32, ProcessorError> {
            match self.cpu {
                Some(cpu) if cpu != own.id() => {
                    processors::start(cpu, mapper, clock, own)?;
                    ELSEWHERE.store(true, Ordering::Relaxed);
                    Ok(cpu)
                }
                _ => Ok(own.id()),
            }
        }

        /// Says at the end how many another CPU took, if one did: `<image>: interrupts taken=<n>`.
        pub fn close(name: &str) {
            if is_elsewhere() {
                say!("{name}: interrupts taken={}", processors::taken());
            }
        }

        /// Says what came of it, if either was asked for: `<image>: interrupts apic=<xapic|x2apic> cpu=<n> own=<n>`.
        pub fn say(&self, name: &str, own: &LocalApic, mode: Mode) {
            if mode == Mode::Polled || self.mode.is_none() && self.cpu.is_none() {
                return;
            }
            let apic = match own.mode() {
                ApicMode::XApic => "xapic",
                ApicMode::X2Apic => "x2apic",
            };
            say!("{name}: interrupts apic={apic} cpu={} own={}", self.cpu.unwrap_or(own.id()), own.id());
        }
    }

    /// x2APIC.
    #[derive(Clone, Copy, Debug)]
    struct AskedMode;

    impl FromStr for AskedMode {
        type Err = ();

        fn from_str(text: &str) -> Result<Self, ()> {
            if text == "x2apic" { Ok(Self) } else { Err(()) }
        }
    }
}

#[cfg(not(feature = "any-machine"))]
mod fixed {
    use crate::clock::Clock;
    use crate::options::{Mode, Nothing, OptionError, Options};
    use crate::paging::DeviceMapper;
    use ivshmem::interrupt::{ApicError, LocalApic};

    /// It never is.
    pub fn is_elsewhere() -> bool {
        false
    }

    /// What the two options say: nothing.
    #[derive(Clone, Copy, Debug)]
    pub struct Delivery(());

    impl Delivery {
        /// What a command line says of them.
        pub fn asked<'a>(options: &Options<'a>) -> Result<Self, OptionError<'a>> {
            for key in ["apic", "irq_cpu"] {
                options.get::<Nothing>(key, "nothing: this image uses one CPU")?;
            }
            Ok(Self(()))
        }

        /// Leaves it.
        pub fn choose_mode(&self) -> Result<(), ApicError> {
            Ok(())
        }

        /// This CPU.
        pub fn start(&self, _: &mut DeviceMapper, _: Clock, own: &LocalApic) -> Result<u32, ApicError> {
            Ok(own.id())
        }

        /// Says nothing.
        pub fn close(_: &str) {}

        /// Says nothing.
        pub fn say(&self, _: &str, _: &LocalApic, _: Mode) {}
    }
}
