//! The results as one HTML page that needs nothing else.

use super::Outcome;
use crate::workspace;
use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::path::PathBuf;

const STYLE: &str = "\
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #ddd; vertical-align: top }
tbody th { background: #f2f2f2; text-transform: capitalize }
td.time { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.ok { color: #176b2c } .failed { color: #b00020; font-weight: bold }
pre { overflow-x: auto; background: #f7f7f7; padding: .5rem; max-height: 30rem }
";

/// Writes it under `target/`, and says where.
pub fn write(outcomes: &[Outcome], setting: &str) -> Result<PathBuf> {
    let path = workspace::target().join("qemu-matrix.html");
    workspace::write(&page(outcomes, setting).into_string(), &path)?;
    Ok(path)
}

fn page(outcomes: &[Outcome], setting: &str) -> Markup {
    let failed = outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
    let groups: Vec<&[Outcome]> = outcomes.chunk_by(|one, next| one.group == next.group).collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "ivshmem: where the device can be" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Where the device can be" }
                p {
                    "Each case is a machine. Wherever the device is, what " code { "probe" } " found there is what QEMU says over QMP is \
                     there, and messages were exchanged in the ways shown. " (setting) "."
                }
                p class=(if failed == 0 { "ok" } else { "failed" }) {
                    (outcomes.len() - failed) " passed, " (failed) " failed"
                }
                table {
                    thead { tr { th { "where" } th { "machine" } th { "shown" } th { "time" } } }
                    @for group in groups {
                        tbody {
                            tr { th colspan="4" { (group.first().map_or("", |outcome| outcome.group)) } }
                            @for outcome in group { (row(outcome)) }
                        }
                    }
                }
            }
        }
    }
}

fn row(outcome: &Outcome) -> Markup {
    html! {
        tr {
            td { (outcome.place) }
            td { (outcome.machine) }
            td {
                @match &outcome.result {
                    Ok(shown) => span class="ok" { (shown) },
                    Err(error) => details {
                        summary class="failed" { "failed: " (error.lines().next().unwrap_or_default()) }
                        pre { (error) }
                    },
                }
            }
            td class="time" { (format!("{:.1} s", outcome.took.as_secs_f64())) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Shown;
    use std::time::Duration;

    #[test]
    fn a_page_has_every_case_whole_and_loads_nothing() {
        let outcome = |place: &str, result| {
            let (place, machine, took) = (place.to_owned(), "pc".to_owned(), Duration::from_millis(1500));
            Outcome { group: "places", place, machine, result, took }
        };
        let outcomes =
            [outcome("slot 1", Ok(Shown::new(&["polled"]))), outcome("slot 2", Err("no answer\n<a> & b".to_owned()))];
        let page = page(&outcomes, "QEMU 1").into_string();
        for part in
            ["1 passed, 1 failed", "slot 1", "polled", "1.5 s", "failed: no answer", "&lt;a&gt; &amp; b", "QEMU 1"]
        {
            assert!(page.contains(part), "no {part} in {page}");
        }
        assert!(!page.contains("src=") && !page.contains("href="), "{page}");
    }
}
