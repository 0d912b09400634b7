//! The two 8259 interrupt controllers: moved out of the exceptions' vectors and masked.

use x86_64::instructions::port::PortWriteOnly;

/// First of the sixteen vectors that a masked 8259 could still raise spuriously.
pub const FIRST_VECTOR: u8 = 0x20;

/// Moves the controllers' vectors to [`FIRST_VECTOR`] and masks every line.
pub fn mask_all() {
    const PRIMARY: (u16, u16) = (0x20, 0x21);
    const SECONDARY: (u16, u16) = (0xA0, 0xA1);
    let write = |port: u16, value: u8| {
        // SAFETY: ring 0; the 8259s' ports, and interrupts are off until both are masked.
        unsafe { PortWriteOnly::new(port).write(value) };
    };
    // The four initialisation words: edge triggered cascade, vectors, wiring, 8086 mode.
    for ((command, data), vector, wiring) in [(PRIMARY, FIRST_VECTOR, 4), (SECONDARY, FIRST_VECTOR + 8, 2)] {
        write(command, 0x11);
        write(data, vector);
        write(data, wiring);
        write(data, 0x01);
        write(data, 0xFF);
    }
}
