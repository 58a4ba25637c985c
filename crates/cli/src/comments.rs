//! Comments and empty lines of a YAML text, and how they come back when the text is written anew.
//!
//! A comment belongs to the value that follows it, or to the one that it stands beside. When the values move, it moves along.

use std::collections::HashMap;

use anyhow::Result;

use crate::path::{Index, Path};

/// What people wrote for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comments {
    /// Lines above a value: comments without their indentation, and empty lines.
    above: Vec<(Path, Vec<String>)>,
    /// Comments beside a value.
    beside: Vec<(Path, String)>,
    /// Lines below everything.
    below: Vec<String>,
}

impl Comments {
    /// The comments of one document.
    ///
    /// # Errors
    /// The text is no YAML.
    pub fn of(text: &str) -> Result<Self> {
        let index = Index::of(text)?;
        let mut comments = Self::default();
        let mut waiting = Vec::new();
        let mut places = index.places.iter().peekable();
        let mut position = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            // The outermost value of the line is what lines above speak of, the innermost what stands beside it.
            let first = places.peek().filter(|place| place.line == number).copied();
            let mut last = None;
            while let Some(place) = places.next_if(|place| place.line == number) {
                last = Some(place);
            }
            let comment = comment(line, position, &index);
            let blank = line.trim().is_empty() && !index.in_scalar(position);
            match (first, comment) {
                (Some(first), comment) => {
                    if !waiting.is_empty() {
                        comments
                            .above
                            .push((first.path.clone(), std::mem::take(&mut waiting)));
                    }
                    if let (Some(comment), Some(last)) = (comment, last) {
                        comments.beside.push((last.path.clone(), comment.to_owned()));
                    }
                }
                (None, Some(comment)) => waiting.push(comment.to_owned()),
                (None, None) if blank => waiting.push(String::new()),
                (None, None) => {}
            }
            position += line.chars().count();
        }
        comments.below = waiting;
        Ok(comments)
    }

    /// `text`, which has no comments, with these. `moved` says where in it a value is now.
    ///
    /// # Errors
    /// `text` is no YAML.
    pub fn write(&self, text: &str, moved: impl Fn(&Path) -> Path) -> Result<String> {
        let index = Index::of(text)?;
        let mut lines: HashMap<&Path, usize> = HashMap::new();
        for place in &index.places {
            lines.entry(&place.path).or_insert(place.line);
        }
        // What a comment spoke of may be gone; then what held it is nearest.
        let line_of = |path: &Path| {
            let mut path = moved(path);
            loop {
                if let Some(line) = lines.get(&path) {
                    return *line;
                }
                if path.pop().is_none() {
                    return 0;
                }
            }
        };
        let mut above: HashMap<usize, Vec<&String>> = HashMap::new();
        for (path, comments) in &self.above {
            above.entry(line_of(path)).or_default().extend(comments);
        }
        let mut beside: HashMap<usize, Vec<&String>> = HashMap::new();
        for (path, comment) in &self.beside {
            beside.entry(line_of(path)).or_default().push(comment);
        }
        let mut written = String::new();
        for (number, line) in text.lines().enumerate() {
            let indentation: String = line.chars().take_while(|c| *c == ' ').collect();
            for comment in above.get(&number).into_iter().flatten() {
                push_line(&mut written, &indentation, comment);
            }
            written.push_str(line);
            for comment in beside.get(&number).into_iter().flatten() {
                written.push(' ');
                written.push_str(comment);
            }
            written.push('\n');
        }
        for comment in &self.below {
            push_line(&mut written, "", comment);
        }
        Ok(written)
    }
}

fn push_line(text: &mut String, indentation: &str, comment: &str) {
    if !comment.is_empty() {
        text.push_str(indentation);
        text.push_str(comment);
    }
    text.push('\n');
}

/// The comment of a line that begins at `position`: from its `#` on.
fn comment<'a>(line: &'a str, position: usize, index: &Index) -> Option<&'a str> {
    let mut before = ' ';
    for (offset, (byte, character)) in line.char_indices().enumerate() {
        if character == '#' && before.is_whitespace() && !index.in_scalar(position + offset) {
            return line.get(byte..).map(str::trim_end);
        }
        before = character;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Step;

    const TEXT: &str = "\
# What this is.
apiVersion: v1 # old

# The list.
files:
# The first.
- path: /a # here
  content: |
    # a script
    echo '#'

- path: '/b # no comment'
# The end.
";

    #[test]
    fn comments_come_back_where_they_were() {
        let comments = Comments::of(TEXT).unwrap();
        let bare = "apiVersion: v1\nfiles:\n- path: /a\n  content: |\n    # a script\n    echo '#'\n- path: '/b # no comment'\n";
        assert_eq!(comments.write(bare, Path::clone).unwrap(), TEXT);
    }

    #[test]
    fn comments_move_with_their_values() {
        let comments = Comments::of("a:\n  # inside\n  b: 1 # beside\n").unwrap();
        let moved = |path: &Path| {
            let mut path = path.clone();
            path.insert(0, Step::Key("outer".to_owned()));
            path
        };
        let written = comments.write("outer:\n  a:\n    b: 1\n", moved).unwrap();
        assert_eq!(written, "outer:\n  a:\n    # inside\n    b: 1 # beside\n");
    }

    #[test]
    fn a_comment_of_something_gone_goes_to_what_held_it() {
        let comments = Comments::of("a:\n  # gone\n  b: 1\n").unwrap();
        assert_eq!(
            comments.write("a:\n  c: 1\n", Path::clone).unwrap(),
            "# gone\na:\n  c: 1\n"
        );
    }
}
