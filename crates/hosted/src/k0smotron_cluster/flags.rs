//! Arguments that users write for programs in pods. Earlier releases put them into a script, so that a shell took quotes
//! away and variables in; here they are arguments, and what the shell did is done to them. Pure.

/// Variables that pods have in their environment, by the names that users write.
const VARIABLES: [(&str, &str); 5] = [
    ("HOSTNAME", "POD_NAME"),
    ("POD_NAME", "POD_NAME"),
    ("POD_IP", "POD_IP"),
    ("POD_NAMESPACE", "POD_NAMESPACE"),
    ("SVC_NAME", "SVC_NAME"),
];

/// The words of what the user wrote, as a shell makes them, with references to variables as the kubelet reads them.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(rest.next()),
            ('$', None | Some('"')) => {
                let braced = rest.next_if_eq(&'{').is_some();
                let mut name = String::new();
                while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                }
                if braced {
                    rest.next_if_eq(&'}');
                }
                word.get_or_insert_default().push_str(&reference(&name));
            }
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// How the kubelet reads a reference to the variable. Others than those of pods are empty, as in a shell; a lone dollar
/// sign stays.
fn reference(name: &str) -> String {
    if name.is_empty() {
        return "$".to_owned();
    }
    let known = VARIABLES.iter().find(|(written, _)| *written == name);
    known.map_or_else(String::new, |(_, variable)| format!("$({variable})"))
}

/// Arguments of `k0s controller`.
pub fn controller(users: &[String], config: &str) -> Vec<String> {
    let mut flags: Vec<_> = users.iter().flat_map(|flag| words(flag)).collect();
    let has = |flags: &[String], name: &str| {
        let with_value = format!("{name}=");
        let is_it = |flag: &String| flag == name || flag.starts_with(&with_value);
        flags.iter().any(is_it)
    };
    if !has(&flags, "--config") {
        flags.push(format!("--config={config}"));
    }
    if !has(&flags, "--enable-dynamic-config") {
        flags.push("--enable-dynamic-config".to_owned());
    }
    flags
}

/// Whether k0s takes changes of its configuration while it runs, which it does unless the user says otherwise.
pub fn is_dynamic(users: &[String]) -> bool {
    let flags: Vec<_> = users.iter().flat_map(|flag| words(flag)).collect();
    !flags.iter().any(|flag| flag == "--enable-dynamic-config=false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        for (text, expected) in [
            ("--debug", &["--debug"][..]),
            ("--labels='a=b c' --x", &["--labels=a=b c", "--x"]),
            ("--a=\"it's\" \\'", &["--a=it's", "'"]),
            ("--name=$HOSTNAME.$POD_IP", &["--name=$(POD_NAME).$(POD_IP)"]),
            ("\"${SVC_NAME}x\" '$HOSTNAME'", &["$(SVC_NAME)x", "$HOSTNAME"]),
            ("a$UNKNOWN$", &["a$"]),
            ("''", &[""]),
            ("  ", &[]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn what_the_user_says_of_the_configuration_stays() {
        let flags = |users: &[&str]| {
            let users: Vec<_> = users.iter().map(|flag| (*flag).to_owned()).collect();
            controller(&users, "/etc/k0s/k0s.yaml").join(" ")
        };
        assert_eq!(flags(&[]), "--config=/etc/k0s/k0s.yaml --enable-dynamic-config");
        assert_eq!(
            flags(&["--enable-dynamic-config=false"]),
            "--enable-dynamic-config=false --config=/etc/k0s/k0s.yaml"
        );
        assert_eq!(
            flags(&["--config=/mine.yaml", "--enable-dynamic-config"]),
            "--config=/mine.yaml --enable-dynamic-config"
        );
    }
}
