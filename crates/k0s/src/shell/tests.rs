//! Quoting and reading, and what a real shell says to both.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn texts(text: &str) -> Vec<String> {
    split(text).iter().map(Word::text).collect()
}

/// What a real shell makes of this line as arguments of one command.
fn arguments(line: &str) -> Vec<String> {
    // On standard input, as a script: a line may be longer than one argument may be.
    let mut shell = Command::new("/bin/sh")
        .env("NODE", "a  node")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let script = format!("printf '%s\\0' {line}\n");
    shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn quotes_only_what_needs_it() {
    for (word, quoted) in [
        ("--labels=a/b=c", "--labels=a/b=c"),
        ("", "''"),
        ("a b", "'a b'"),
        ("it's", r"'it'\''s'"),
        ("$(id)", "'$(id)'"),
        ("a=b;c", "'a=b;c'"),
        ("~root", "'~root'"),
    ] {
        assert_eq!(quote(word), quoted);
    }
}

#[test]
fn splits_like_a_shell() {
    assert_eq!(texts("--profile custom"), ["--profile", "custom"]);
    assert_eq!(
        texts(r#"--x="--a --b" 'c d' e\ f"#),
        ["--x=--a --b", "c d", "e f"]
    );
    assert_eq!(texts(r#""a\"b\c$d""#), [r#"a"b\c$d"#]);
    assert_eq!(texts("''"), [""]);
    assert_eq!(texts("it's"), ["it's"]);
    assert!(texts("  ").is_empty());
}

#[test]
fn what_users_wrote_to_be_expanded_is_expanded_and_nothing_else_is() {
    for (written, quoted, made) in [
        ("--ip=$NODE", "--ip=$NODE''", &["--ip=a", "node"][..]),
        ("--ip=\"$NODE\"", "--ip=\"$NODE\"", &["--ip=a  node"]),
        ("--ip=${NODE%% *}.x", "--ip=${NODE%% *}''.x", &["--ip=a.x"]),
        (
            "\"--ip=$(echo \"b)\" | tr b c)\"",
            "--ip=\"$(echo \"b)\" | tr b c)\"",
            &["--ip=c)"],
        ),
        ("`echo b`;id", "`echo b`''';id'", &["b;id"]),
        ("$((1 + 2))", "$((1 + 2))", &["3"]),
        ("--a='$NODE'", "'--a=$NODE'", &["--a=$NODE"]),
        ("--a=\\$NODE", "'--a=$NODE'", &["--a=$NODE"]),
        ("a$ $(b", "'a$' '$(b'", &["a$", "$(b"]),
        (
            "$NODE\"x\" >&2 *",
            "$NODE''x '>&2' '*'",
            &["a", "nodex", ">&2", "*"],
        ),
        ("$NONE a", "$NONE a", &["a"]),
    ] {
        let line = split(written)
            .iter()
            .map(Word::quoted)
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(line, quoted, "{written}");
        assert_eq!(arguments(&line), made, "{written}");
    }
    let word = in_double_quotes("--a=$NODE --b='$(echo c)' \"d\"");
    assert_eq!(arguments(&word.quoted()), ["--a=a  node --b='c' \"d\""]);
}

#[test]
fn a_flag_is_taken_off_its_value() {
    let flag = &split("--x=a$B")[0];
    assert_eq!(flag.strip_prefix("--x=").unwrap().quoted(), "a$B''");
    assert_eq!(flag.strip_prefix("--y="), None);
    assert_eq!(split("$A")[0].strip_prefix(""), None);
    assert!(split("--x=")[0].strip_prefix("--x=").unwrap().is_empty());
}

#[test]
fn template_expressions_survive() {
    for expression in [
        "{{ v1.region }}",
        "{{ ds.meta_data['a b'] }}",
        "{{ ds.meta_data[\"a b\"] }}",
        "{{ a }}{{ b }}",
    ] {
        for word in [expression.to_owned(), format!("--labels=a={expression},b=c d")] {
            assert_eq!(texts(&word.replace(",b=c d", "")), [word.replace(",b=c d", "")]);
            assert_eq!(texts(&format!("'{word}'")), [word.as_str()]);
            assert!(quote(&word).contains(expression), "{word}");
            assert_eq!(texts(&quote(&word)), [word]);
        }
    }
    // Both kinds of quotes, or a dollar: never at the cost of safety.
    assert_eq!(quote("{{ 'a' \"b\" }}"), r#"'{{ '\''a'\'' "b" }}'"#);
    assert_eq!(quote("{{ '$(id)' }}"), r"'{{ '\''$(id)'\'' }}'");
    assert_eq!(texts("a {{ b c"), ["a", "{{", "b", "c"]);
}

/// Text of everything that means something to a shell or to a template.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("$(echo pwned)".to_owned()),
        Just("`echo pwned`".to_owned()),
        Just("${PATH}".to_owned()),
        Just("{{ a['b'] }}".to_owned()),
        Just("{% if x %}".to_owned()),
        Just("'\\''".to_owned()),
        Just("\n".to_owned()),
        "[-$`'\"\\\\;&|<>(){}\\[\\]*?~#!= \t]{1,4}",
        "[a-z0-9/.]{1,3}",
        any::<char>()
            .prop_filter("no word has it", |c| *c != '\0')
            .prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_real_shell_takes_quoted_words_as_they_are(words in proptest::collection::vec(hostile(), 1..16)) {
        let line = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
        prop_assert_eq!(arguments(&line), words, "{}", line);
    }

    #[test]
    fn a_quoted_word_is_one_word(word in hostile().prop_filter("read as one", |word| !word.contains("{{"))) {
        let words = split(&quote(&word));
        prop_assert_eq!(words.iter().map(Word::quoted).collect::<Vec<_>>(), [quote(&word).into_owned()]);
        prop_assert_eq!(texts(&quote(&word)), [word]);
    }

    #[test]
    fn reading_never_panics(text in hostile()) {
        for word in split(&text).iter().chain([&in_double_quotes(&text)]) {
            word.quoted();
        }
    }
}
