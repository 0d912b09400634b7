//! Sizes as QEMU's command line writes them.

use anyhow::{Context, bail, ensure};

/// A number of bytes: decimal with an optional suffix B, K, M, G, T, P or E (powers of 1024, either case) and then with an
/// optional fraction, or hexadecimal after `0x`.
pub fn parse(text: &str) -> anyhow::Result<u64> {
    if text.starts_with("0x") || text.starts_with("0X") {
        return number(text).with_context(|| format!("{text:?} is not a size"));
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let unit: u128 = match suffix.to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        "P" => 1 << 50,
        "E" => 1 << 60,
        _ => bail!("{text:?} is not a size: the suffix is none of B, K, M, G, T, P, E"),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    ensure!(!whole.is_empty() && digits.len() <= 20, "{text:?} is not a size");
    let mantissa: u128 = format!("{whole}{fraction}").parse().with_context(|| format!("{text:?} is not a size"))?;
    let scale = u32::try_from(fraction.len()).ok().and_then(|places| 10_u128.checked_pow(places));
    let (Some(bytes), Some(scale)) = (mantissa.checked_mul(unit), scale) else { bail!("{text:?} is too large") };
    ensure!(bytes.is_multiple_of(scale), "{text:?} is not a whole number of bytes");
    u64::try_from(bytes / scale).with_context(|| format!("{text:?} is too large"))
}

/// A number, decimal or after `0x` hexadecimal.
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_powers_of_1024_in_either_case() {
        for (text, bytes) in [
            ("4096", 4096),
            ("4096B", 4096),
            ("1k", 1 << 10),
            ("4M", 4 << 20),
            ("16G", 16 << 30),
            ("1t", 1 << 40),
            ("2P", 2 << 50),
            ("1E", 1 << 60),
            ("0.5G", 512 << 20),
            ("1.5K", 1536),
            ("0x100000", 1 << 20),
            ("0", 0),
        ] {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_its_text() {
        for text in [
            "",
            "M",
            "-1",
            "+1",
            "1Q",
            "1MM",
            "1 M",
            ".5M",
            "1.2.3",
            "0.3",
            "16E",
            "99999999999999999999E",
            "0x",
            "0x+1",
            "0x1K",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(text), "{text:?}: {error}");
        }
    }
}
