//! `docs/protection.md` against the code and the tests it names.

use super::*;

const DOCUMENT: &str = include_str!("../../docs/protection.md");

/// Every file in which a test may be that the document names.
const TESTS: [&str; 8] = [
    include_str!("accidents.rs"),
    include_str!("corruption.rs"),
    include_str!("delay.rs"),
    include_str!("hostile.rs"),
    include_str!("sampling.rs"),
    include_str!("sessions.rs"),
    include_str!("../../src/channel/protection/checker/tests.rs"),
    include_str!("../../src/channel/protection/head/tests.rs"),
];

#[test]
fn every_threat_has_a_test_and_every_test_that_the_document_names_exists() {
    let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with("| threat")).skip(2);
    let rows: Vec<_> = rows.take_while(|line| line.starts_with('|')).collect();
    let threats = ["repetition", "deletion", "insertion", "re-sequencing", "corruption", "delay", "masquerade"];
    assert_eq!(rows.len(), threats.len());
    for (row, threat) in rows.iter().zip(threats) {
        assert!(row.starts_with(&format!("| {threat} |")), "{row}");
        let named = row.split('|').nth(4).unwrap().split('`').skip(1).step_by(2).collect::<Vec<_>>();
        assert!(!named.is_empty(), "no test: {row}");
        for name in named {
            let declaration = format!("fn {name}(");
            assert!(TESTS.iter().any(|tests| tests.contains(&declaration)), "{name} is no test");
        }
    }
}

#[test]
fn the_documents_test_vector_is_what_the_code_makes() {
    let words = |name: &str| -> [u64; 3] {
        let row = DOCUMENT.lines().find(|line| line.starts_with(&format!("| {name} |"))).expect(name);
        let word =
            |cell: &str| u64::from_str_radix(cell.trim().trim_matches('`').strip_prefix("0x").unwrap(), 16).unwrap();
        row.split('|').skip(2).take(3).map(word).collect::<Vec<_>>().try_into().unwrap()
    };
    let head = Head { data_id: 0x51, length: 14, source: 7, sequence: 5, session: 0x0010_0100 };
    let sealed = |head: Head, payload: &[u8]| head.seal(payload).map(u64::from_le_bytes);
    assert_eq!(sealed(head, b"set-speed 1500"), words("`set-speed 1500`"));
    assert_eq!(sealed(Head { length: 0, sequence: 0, ..head }, b""), words("nothing"));
}
