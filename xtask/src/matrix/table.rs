//! The results as a table of text.

use super::Outcome;

/// One line for each case, under its group.
pub fn text(outcomes: &[Outcome]) -> String {
    let width = |text: fn(&Outcome) -> usize| outcomes.iter().map(text).max().unwrap_or_default();
    let (place, machine) = (width(|o| o.place.chars().count()), width(|o| o.machine.chars().count()));
    let (mut text, mut group) = (String::new(), "");
    for outcome in outcomes {
        if outcome.group != group {
            group = outcome.group;
            text += &format!("{group}\n");
        }
        let shown = outcome.result.as_ref().map_or_else(|_| "FAILED".to_owned(), ToString::to_string);
        let seconds = outcome.took.as_secs_f64();
        text += &format!("  {:<place$}  {:<machine$}  {seconds:>5.1} s  {shown}\n", outcome.place, outcome.machine);
    }
    text
}
