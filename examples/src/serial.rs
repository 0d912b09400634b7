//! The two 16550 serial ports: COM1 for text, COM2 for defmt frames.

use core::fmt;
use x86_64::instructions::interrupts::without_interrupts;
use x86_64::instructions::port::Port;

/// Tries before a byte is given up, so that a UART that never gets ready cannot stop the image.
const READY_TRIES: u32 = 1_000_000;

/// One 16550 UART, known by its first port.
#[derive(Clone, Copy, Debug)]
pub struct Uart(u16);

/// Text for people and for xtask, one event a line.
pub const COM1: Uart = Uart(0x3F8);
/// defmt frames, decoded by xtask.
pub const COM2: Uart = Uart(0x2F8);

impl Uart {
    /// 115200 8N1, FIFO on, interrupts off.
    pub fn init(self) {
        for (register, value) in [(1, 0x00), (3, 0x80), (0, 0x01), (1, 0x00), (3, 0x03), (2, 0xC7), (4, 0x03)] {
            self.write_register(register, value);
        }
    }

    /// Sends every byte.
    pub fn send(self, bytes: &[u8]) {
        for byte in bytes {
            self.send_byte(*byte);
        }
    }

    fn send_byte(self, byte: u8) {
        for _ in 0..READY_TRIES {
            // Bit 5: the transmit holding register is empty. A port that is absent reads all-ones, and the byte
            // goes nowhere.
            if self.read_register(5) & 0x20 != 0 {
                self.write_register(0, byte);
                return;
            }
            core::hint::spin_loop();
        }
    }

    fn read_register(self, register: u16) -> u8 {
        // SAFETY: ring 0; the registers of a serial port at its standard place, and none of them affects memory.
        unsafe { Port::new(self.0 + register).read() }
    }

    fn write_register(self, register: u16, value: u8) {
        // SAFETY: as above.
        unsafe { Port::new(self.0 + register).write(value) }
    }
}

impl fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.send(text.as_bytes());
        Ok(())
    }
}

/// Writes a line to COM1, whole: no interrupt handler's line gets into it.
pub fn line(arguments: fmt::Arguments<'_>) {
    without_interrupts(|| {
        let mut port = COM1;
        // A `Uart` never answers an error; a `Display` that does ends its line early, which is all one can do.
        let _ = fmt::write(&mut port, arguments);
        port.send(b"\n");
    });
}

/// `say!("echo: begin")`: one line on COM1.
#[macro_export]
macro_rules! say {
    ($($arguments:tt)*) => { $crate::serial::line(format_args!($($arguments)*)) };
}
