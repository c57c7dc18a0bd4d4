//! What a layout does, shown on texts; and that it does nothing else.

use proptest::prelude::*;

use super::{Unlaid, layout};
use crate::diagnostic::{Report, Sources};

fn laid(text: &str) -> Result<String, Unlaid> {
    let mut sources = Sources::default();
    let file = sources.add("a.yaml", text.to_owned());
    layout(file, text, &mut Report::default())
}

/// `text` becomes `expected`, and that stays as it is.
fn becomes(text: &str, expected: &str) {
    assert_eq!(laid(text).as_deref(), Ok(expected), "of:\n{text}");
    assert_eq!(laid(expected).as_deref(), Ok(expected), "laid out twice");
}

#[test]
fn levels_are_two_spaces_apart() {
    becomes("a:\n    b:\n          c: 1\n    d: 2\n", "a:\n  b:\n    c: 1\n  d: 2\n");
    becomes("a:\n- b: 1\n  c: 2\n-   d: 3\n    e: 4\nf: 5\n", "a:\n  - b: 1\n    c: 2\n  - d: 3\n    e: 4\nf: 5\n");
    becomes("a:\n -  - 1\n    - 2\n", "a:\n  - - 1\n    - 2\n");
    becomes("- a\n-\n    b: 1\n", "- a\n-\n  b: 1\n");
}

#[test]
fn spaces_stand_where_they_belong() {
    becomes("a :   {b: 1,c:  2 }\n", "a: { b: 1, c: 2 }\n");
    becomes("a: [ 1,2 , {} , [ ] ]\n", "a: [1, 2, {}, []]\n");
    becomes("{\"a\":1}\n", "{ \"a\": 1 }\n");
    becomes("a: &x  1\nb: *x\n", "a: &x 1\nb: *x\n");
    becomes("a: 1   \nb: 'it''s # no: comment'\t\n", "a: 1\nb: 'it''s # no: comment'\n");
}

#[test]
fn comments_stay_with_what_they_stood_with() {
    becomes(
        "#top\n\n\n\na: # of a\n    # of b\n    b: 1    # aligned\n    # still b's\n# of c\nc: 2\n# last\n",
        "#top\n\na: # of a\n  # of b\n  b: 1    # aligned\n  # still b's\n# of c\nc: 2\n# last\n",
    );
    becomes("a:\n- b\n# of the item\n- c\n# of d\nd: 1\n", "a:\n  - b\n  # of the item\n  - c\n# of d\nd: 1\n");
    becomes("a:\n    b: 1\n  # between\nc: 2\n", "a:\n  b: 1\n# between\nc: 2\n");
}

#[test]
fn what_stands_in_several_lines_moves_as_a_whole() {
    becomes("a:\n    b: |\n        one\n\n          two  \n    c: 1\n", "a:\n  b: |\n    one\n\n      two  \n  c: 1\n");
    becomes("a:\n    b: [1,\n        2,   3]\n    c: \"x\n\n      y\"\n", "a:\n  b: [1,\n      2,   3]\n  c: \"x\n\n    y\"\n");
    becomes("a:\n    b: {\n        c: 1, # one\n\n\n        # two\n    }\n", "a:\n  b: {\n      c: 1, # one\n\n      # two\n  }\n");
    becomes("a:\n    b: >2\n          one\n        two\n", "a:\n  b: >2\n        one\n      two\n");
    // With an anchor a block has the place that it had beside its key.
    becomes("a: &x  |-  # said\n\n\n      one  \n", "a: &x |-  # said\n\n\n      one  \n");
    becomes("a: &x   \"b # c\"  # d\n", "a: &x \"b # c\"  # d\n");
    becomes("a:\n    one\n    two\nb: 1\n", "a:\n  one\n  two\nb: 1\n");
}

#[test]
fn lines_end_as_the_first_does_and_the_file_ends_with_one() {
    becomes("a: 1\r\nb: |\r\n  x\r\n", "a: 1\r\nb: |\r\n  x\r\n");
    becomes("a: 1", "a: 1\n");
    becomes("a: 1\n\n\n", "a: 1\n");
    becomes("\n\na: 1\n", "a: 1\n");
    becomes("", "");
    becomes("# only this\n\n", "# only this\n");
    assert_eq!(laid("\u{feff}a:   1\n").as_deref(), Ok("a: 1\n"));
}

#[test]
fn what_is_broken_or_strange_is_not_laid_out() {
    for broken in ["a: [", "a: 1\na: 2\n", "a: !t 1\n", "<<: {}\n", "a: yes\n", "a: \"x"] {
        assert_eq!(laid(broken), Err(Unlaid::Broken), "{broken}");
    }
}

#[test]
fn a_block_that_keeps_its_empty_lines_has_them() {
    becomes("a: |+\n  x\n\n\n\n", "a: |+\n  x\n\n\n\n");
    becomes("a:\n    b: |+\n        x\n\n\n    c: >+\n        y\n\nd: 1\n", "a:\n  b: |+\n    x\n\n\n  c: >+\n    y\n\nd: 1\n");
    becomes("a: |+\r\n  x\r\n\r\nb: 1\r\n", "a: |+\r\n  x\r\n\r\nb: 1\r\n");
    // Without the `+` they are no part of it.
    becomes("a: |\n  x\n\n\nb: 1\n", "a: |\n  x\n\nb: 1\n");
}

#[test]
fn spaces_that_are_none_to_yaml_stay() {
    becomes("a: b\u{3000}\nc:   [d\u{a0}]\n", "a: b\u{3000}\nc: [d\u{a0}]\n");
    becomes("a: [b,\n  c\u{3000}\n  ]\n", "a: [b,\n  c\u{3000}\n  ]\n");
}

/// A document as people write it, with odd spaces, comments and blank lines everywhere.
fn document() -> impl Strategy<Value = String> {
    let scalar = prop::sample::select(vec![
        "1",
        "x",
        "\"a # b\"",
        "'it''s'",
        "a b",
        "-1",
        "http://h:1",
        "é",
        "1.0",
        "true",
        "~",
        "a#b",
        "\"\\\" ,\"",
    ]);
    let flow = scalar.clone().prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..3), "[ ]{0,2}")
                .prop_map(|(items, s)| format!("[{s}{}{s}]", items.join(&format!("{s},{s}")))),
            (prop::collection::vec(inner, 0..3), "[ ]{0,2}").prop_map(|(items, s)| {
                let entries: Vec<String> = items.iter().enumerate().map(|(at, item)| format!("k{at}: {s}{item}")).collect();
                format!("{{{s}{}{s}}}", entries.join(&format!("{s},{s}")))
            }),
        ]
    });
    let block = prop::sample::select(vec!["|", ">-", "|-"]);
    let value = prop_oneof![
        4 => flow,
        1 => (block, 0usize..3).prop_map(|(head, blanks)| format!("{head}\n          text # no comment\n{}            more", "\n".repeat(blanks))),
        1 => Just("[1,\n          2,\n          # inside\n          3]".to_owned()),
        1 => Just("\"one\n           two\"".to_owned()),
    ];
    let comment = prop_oneof![3 => Just(String::new()), 1 => Just("  # said".to_owned()), 1 => Just(" #said".to_owned())];
    // Depth of the line, the value or a nested map, what stands before it.
    let line = (0usize..3, value, comment, 0usize..4, any::<bool>(), 0usize..9);
    (prop::collection::vec(line, 0..12), 1usize..4).prop_map(|(lines, step)| {
        let (mut text, mut depth) = (String::new(), 0);
        for (at, (wanted, value, comment, blanks, is_list, column)) in lines.into_iter().enumerate() {
            let level = wanted.min(depth);
            text.push_str(&"\n".repeat(blanks));
            if blanks == 2 {
                text.push_str(&format!("{}# {at}\n", " ".repeat(column)));
            }
            let spaces = " ".repeat(level * step * 2);
            let comment = if value.contains('\n') { String::new() } else { comment };
            match is_list {
                true => text.push_str(&format!(
                    "{spaces}k{at}:{comment}\n{spaces}{}-   n: {value}\n{spaces}{}    m: 1\n",
                    " ".repeat(step),
                    " ".repeat(step)
                )),
                false => text.push_str(&format!("{spaces}k{at}:  {value}{comment}\n")),
            }
            if !is_list && column > 6 {
                text.push_str(&format!("{spaces}m{at}:\n{spaces}{}z: 1\n", " ".repeat(step * 2)));
            }
            depth = if !is_list && column > 6 { level + 1 } else { level };
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_layout_is_stable_and_means_the_same(text in document()) {
        // That it means the same, and has every comment, `layout` holds itself; that it is found at all is asked here.
        match laid(&text) {
            Ok(once) => prop_assert_eq!(laid(&once), Ok(once.clone()), "of:\n{}", text),
            Err(Unlaid::Broken) => {}
            Err(Unlaid::Strange) => prop_assert!(false, "strange:\n{text}"),
        }
    }

    #[test]
    fn no_text_breaks_the_layout(text in "[a-z0-9:,#&*!|>\\-\\[\\]{}\"'\n \r\t%?é]{0,60}") {
        if let Ok(once) = laid(&text) {
            match laid(&once) {
                Ok(twice) => prop_assert_eq!(twice, once),
                Err(why) => prop_assert!(false, "{why:?} when laid out again:\n{text}"),
            }
        }
    }
}
