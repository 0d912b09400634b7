//! defmt frames of an image's COM2, decoded with the strings that its ELF file carries.

use super::log::Decode;
use anyhow::{Context, Result, bail};
use defmt_decoder::{DecodeError, Encoding, Table};
use std::path::Path;

/// Decodes rzCOBS frames, each of which ends with a zero byte.
pub struct Frames {
    table: Table,
    begun: Vec<u8>,
}

impl Frames {
    /// `None` if the image carries no defmt strings, and so logs nothing.
    pub fn of(image: &Path) -> Result<Option<Self>> {
        let elf = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
        let Some(table) = Table::parse(&elf)? else { return Ok(None) };
        if !matches!(table.encoding(), Encoding::Rzcobs) {
            bail!("{} does not frame its log by rzCOBS", image.display());
        }
        Ok(Some(Self { table, begun: Vec::new() }))
    }

    fn frame(&self, bytes: &[u8]) -> Option<String> {
        let mut decoder = self.table.new_stream_decoder();
        decoder.received(bytes);
        match decoder.decode() {
            Ok(frame) => {
                let time = frame.display_timestamp().map(|time| format!("{time} ")).unwrap_or_default();
                let level = frame.level().map_or("", |level| level.as_str());
                Some(format!("{time}{:<5} {}", level.to_uppercase(), frame.display_message()))
            }
            Err(DecodeError::UnexpectedEof) => None,
            Err(DecodeError::Malformed) => Some(format!("a malformed defmt frame of {} bytes", bytes.len())),
        }
    }
}

impl Decode for Frames {
    fn decode(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for part in bytes.split_inclusive(|byte| *byte == 0) {
            self.begun.extend_from_slice(part);
            if part.ends_with(&[0]) {
                lines.extend(self.frame(&self.begun));
                self.begun.clear();
            }
        }
    }

    fn rest(&mut self) -> Option<String> {
        let cut = std::mem::take(&mut self.begun);
        (!cut.is_empty()).then(|| format!("a defmt frame cut off after {} bytes", cut.len()))
    }
}
