//! A truncated file ends in a message and an exit code, not in a signal.
//!
//! Whoever may truncate the file behind a mapping can make any load or store raise SIGBUS at any time; nothing that
//! is checked beforehand rules it out. The kernel's answer is a dead process and "Bus error"; ours names the device.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicPtr, Ordering};
use std::ffi::CString;

/// The exit code after a bus error: 7, the number of SIGBUS.
pub const BUS_ERROR_EXIT_CODE: u8 = 7;

/// What was mapped, as a C string that is never freed; null before [`exit_on_bus_error`].
static MAPPED: AtomicPtr<libc::c_char> = AtomicPtr::new(core::ptr::null_mut());

/// From now on a bus error anywhere in this process ends it with exit code [`BUS_ERROR_EXIT_CODE`] after one line on standard error:
/// `ivshmem-peer: bus error at address 0x...: the memory of <mapped> was truncated or its device is gone`.
///
/// Opt-in, because the handler is the whole process's. `mapped` names the memory for the line, up to its first NUL byte; a later call
/// replaces it.
pub fn exit_on_bus_error(mapped: &str) -> Result<(), std::io::Error> {
    let bytes: Vec<u8> = mapped.bytes().take_while(|&byte| byte != 0).collect();
    let name = CString::new(bytes).unwrap_or_default();
    // Never freed: the handler may run at any time, also while a later call replaces the name.
    // Release: the handler that sees the pointer sees the bytes behind it.
    MAPPED.store(name.into_raw(), Ordering::Release);

    // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask, the default handler.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = on_bus_error as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: `action` is initialised and its handler has the signature that SA_SIGINFO asks for, is
    // async-signal-safe and never returns to the faulting access; the old action may be null.
    match unsafe { libc::sigaction(libc::SIGBUS, &action, core::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Async-signal-safe: one atomic load, stack memory, write(2) and _exit(2).
extern "C" fn on_bus_error(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: SA_SIGINFO is set, so the kernel passes a valid siginfo.
    let info = unsafe { &*info };
    // SAFETY: for SIGBUS the kernel fills in the faulting address.
    let address = unsafe { info.si_addr() } as usize;
    write_error(b"ivshmem-peer: bus error at address 0x");
    write_error(&hexadecimal(address));
    write_error(b": the memory of ");
    // Acquire: pairs with the store that published the name.
    let name = MAPPED.load(Ordering::Acquire);
    if !name.is_null() {
        // SAFETY: a non-null pointer is that of a C string that is never freed.
        write_error(unsafe { core::ffi::CStr::from_ptr(name) }.to_bytes());
    }
    write_error(b" was truncated or its device is gone\n");
    // SAFETY: _exit takes any code and runs no destructor.
    unsafe { libc::_exit(c_int::from(BUS_ERROR_EXIT_CODE)) }
}

fn write_error(bytes: &[u8]) {
    // SAFETY: the pointer and length are those of one slice. The process is ending: a failed write changes nothing.
    unsafe { libc::write(2, bytes.as_ptr().cast(), bytes.len()) };
}

/// All 16 digits, without the allocation that `format!` might make.
fn hexadecimal(value: usize) -> [u8; 16] {
    core::array::from_fn(|at| {
        let digit = (value >> (60 - 4 * at) & 0xf) as u8;
        if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sixteen_hexadecimal_digits() {
        assert_eq!(&hexadecimal(0x0123_4567_89ab_cdef), b"0123456789abcdef");
        assert_eq!(&hexadecimal(0), b"0000000000000000");
    }
}
