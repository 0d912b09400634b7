//! Negative controls: the driver built without one of its rules, and the tests that must notice.
//!
//! `src/control.rs` has the rules. Only the driver and its tests are built anew for each, not what they depend on: a compiler wrapper
//! adds the flag, and cargo asks it for packages of this workspace only.

use super::code::Count;
use super::suite::Suite;
use crate::cargo;
use crate::tool::last_lines;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Stdio;

/// A rule and the tests, by cargo target and name, of which each fails without it.
type Control = (&'static str, &'static [(&'static str, &'static str)]);

const MAILBOX: &str = "--test=mailbox";
/// On loom's atomics, and so apart from the other targets.
const LOOM: &str = "--test=loom";

const CONTROLS: &[Control] = &[
    (
        "single_fetch",
        &[(
            "--lib",
            "channel::tests::on_a_link_that_is_up_hostile_channel_words_are_bounded_fetched_once_and_never_panic",
        )],
    ),
    (
        "length_check",
        &[(MAILBOX, "violations::violations_latch_count_once_leave_other_channels_alone_and_end_with_resync")],
    ),
    (
        "tag_check",
        &[(MAILBOX, "violations::violations_latch_count_once_leave_other_channels_alone_and_end_with_resync")],
    ),
    ("acknowledged_range", &[(MAILBOX, "violations::an_impossible_acknowledgement_closes_the_sender_until_resync")]),
    (
        "epoch_echo",
        &[
            (MAILBOX, "link::a_dead_peers_section_left_in_memory_never_brings_the_link_up"),
            (MAILBOX, "sessions::a_pair_of_epochs_is_up_at_most_once"),
        ],
    ),
    (
        "echo_withdrawn",
        &[(MAILBOX, "link::a_new_attachment_that_never_looked_does_not_count_as_answered_by_the_echo_of_the_last_one")],
    ),
    (
        "cleared_slots",
        &[
            (MAILBOX, "link::after_a_restart_of_either_end_nothing_stale_arrives_and_the_loss_is_bounded"),
            (MAILBOX, "sessions::a_pair_of_epochs_is_up_at_most_once"),
        ],
    ),
    (
        "key_after_payload",
        &[("--test=mailbox_model", "nothing_stale_nothing_twice_nothing_out_of_order_and_no_loss_unreported")],
    ),
    ("header_last", &[("--test=mailbox_death", "a_message_is_invisible_before_its_last_store_and_whole_after_it")]),
    ("look_again", &[(MAILBOX, "doorbells::one_doorbell_is_due_per_wish_to_the_id_and_vector_the_peer_published")]),
    ("latch", &[(MAILBOX, "violations::violations_latch_count_once_leave_other_channels_alone_and_end_with_resync")]),
    (
        "request_generation",
        &[(
            MAILBOX,
            "request::hostile::a_response_to_a_request_that_was_cancelled_or_is_long_over_is_dropped_and_counted",
        )],
    ),
    (
        "crc_check",
        &[(
            "--test=protection",
            "corruption::every_single_flipped_bit_of_head_and_payload_is_a_bad_crc_and_the_message_is_handed_out_as_it_is",
        )],
    ),
    ("release_store", &[(LOOM, "ring::a_message_arrives_whole_and_once_in_the_order_sent")]),
    ("wish_fence", &[(LOOM, "sleep::a_receiver_that_arms_sees_the_message_or_is_rung")]),
    (
        "started_look",
        &[(
            MAILBOX,
            "sampling::a_value_overwritten_during_the_copy_is_busy_never_torn_and_three_tries_bound_the_reader",
        )],
    ),
];

pub fn add(suite: &mut Suite) {
    suite.case("controls: with every rule in force the tests named here pass", |_| {
        let mut tests: Vec<_> = CONTROLS.iter().flat_map(|(_, tests)| tests.iter().copied()).collect();
        tests.sort_unstable();
        tests.dedup();
        let (loom, others): (Vec<_>, Vec<_>) = tests.into_iter().partition(|(target, _)| *target == LOOM);
        for tests in [loom, others] {
            let (count, said) = run(None, &tests)?;
            ensure!(count.failed.is_empty() && count.passed == tests.len() as u64, "{count:?}\n{said}");
        }
        Ok(())
    });
    for (rule, tests) in CONTROLS {
        suite.case(&format!("controls: without {rule} its tests fail"), |_| {
            let (count, said) = run(Some(rule), tests)?;
            let missed: Vec<_> =
                tests.iter().filter(|(_, test)| !count.failed.iter().any(|name| name == test)).collect();
            ensure!(missed.is_empty(), "these did not fail: {missed:?}\n{said}");
            Ok(())
        });
    }
}

/// Builds without a rule, or with all, runs those tests, and gives what came of them and the end of what cargo said.
fn run(without: Option<&str>, tests: &[(&str, &str)]) -> Result<(Count, String)> {
    let mut targets: Vec<_> = tests.iter().map(|(target, _)| *target).collect();
    targets.sort_unstable();
    targets.dedup();
    let cargo =
        if targets == [LOOM] { cargo::loom("test") } else { cargo::active("test").args(["--features", "protection"]) };
    let tool = cargo
        .args(["--package", "ivshmem", "--no-fail-fast"])
        .args(targets)
        .args(["--", "--exact"])
        .args(tests.iter().map(|(_, test)| *test))
        .env("RUSTC_WORKSPACE_WRAPPER", wrapper(without)?)
        // Nothing of this is built twice.
        .env("CARGO_INCREMENTAL", "0")
        // That a property fails is all that is asked: not how simply, nor to remember it.
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    let output = tool.child().stdin(Stdio::null()).output().with_context(|| format!("cannot start {tool}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let mut count = Count::default();
    text.lines().for_each(|line| count.take(line));
    Ok((count, format!("{tool}\n{}", last_lines(&text, 30))))
}

/// A compiler that leaves a rule out. Each has a path of its own, by which cargo tells their work apart.
fn wrapper(without: Option<&str>) -> Result<PathBuf> {
    let flag = without.map(|rule| format!(" --cfg 'ivshmem_control=\"{rule}\"'")).unwrap_or_default();
    let path = workspace::target().join("controls").join(without.unwrap_or("all")).join("rustc");
    // Debugging information of tests that are made to fail is not worth its time.
    workspace::install(format!("#!/bin/sh\nexec \"$@\" -C debuginfo=0{flag}\n").as_bytes(), &path)?;
    Ok(path)
}
