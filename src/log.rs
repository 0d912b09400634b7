//! One macro for every log line, so that the crate reads the same with and without `defmt`.

/// `log!(info, "found {}", address)`: a `defmt` line with the feature, nothing without it.
macro_rules! log {
    ($level:ident, $($arguments:tt)*) => {{
        #[cfg(feature = "defmt")]
        defmt::$level!($($arguments)*);
    }};
}

pub(crate) use log;
