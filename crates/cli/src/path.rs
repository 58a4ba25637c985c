//! Where in a YAML text each value stands.

use anyhow::{Result, anyhow};
use saphyr_parser::{Event, Parser, Span};

/// One step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Key(String),
    Index(usize),
}

pub type Path = Vec<Step>;

/// A value's place: of a mapping's entry that of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Counted from 0.
    pub line: usize,
    pub path: Path,
}

/// A text's values and what of it is not open to comments.
#[derive(Debug, Default)]
pub struct Index {
    /// In the order of the text.
    pub places: Vec<Place>,
    /// Scalars: from the first character to behind the last one, in characters of the text.
    scalars: Vec<(usize, usize)>,
}

enum Container {
    Mapping { path: Path, key: Option<String> },
    Sequence { path: Path, next: usize },
}

impl Index {
    /// Reads one document.
    ///
    /// # Errors
    /// The text is no YAML.
    pub fn of(text: &str) -> Result<Self> {
        let mut index = Self::default();
        let mut open: Vec<Container> = Vec::new();
        let characters: Vec<char> = text.chars().collect();
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| anyhow!("{error}"))?;
            match event {
                Event::Scalar(value, ..) => {
                    let (start, end) = (span.start.index(), span.end.index());
                    // Empty lines behind a text are counted in, although they say nothing unless the text keeps them.
                    let behind = characters.get(start..end).unwrap_or_default();
                    let behind = behind
                        .iter()
                        .rev()
                        .take_while(|character| character.is_whitespace())
                        .count();
                    let end = if value.ends_with("\n\n") {
                        end
                    } else {
                        end - behind
                    };
                    index.scalars.push((start, end));
                    if let Some(Container::Mapping {
                        path,
                        key: key @ None,
                    }) = open.last_mut()
                    {
                        let path = joined(path, Step::Key(value.to_string()));
                        index.places.push(place(&span, path));
                        *key = Some(value.into_owned());
                    } else {
                        index.enter(&mut open, &span);
                    }
                }
                Event::Alias(_) => drop(index.enter(&mut open, &span)),
                Event::MappingStart(..) => {
                    let path = index.enter(&mut open, &span);
                    open.push(Container::Mapping { path, key: None });
                }
                Event::SequenceStart(..) => {
                    let path = index.enter(&mut open, &span);
                    open.push(Container::Sequence { path, next: 0 });
                }
                Event::MappingEnd | Event::SequenceEnd => drop(open.pop()),
                _ => {}
            }
        }
        Ok(index)
    }

    /// Takes note of a value that begins, and says where it is.
    fn enter(&mut self, open: &mut [Container], span: &Span) -> Path {
        match open.last_mut() {
            None => Path::new(),
            Some(Container::Mapping { path, key }) => match key.take() {
                Some(key) => joined(path, Step::Key(key)),
                // A key that is no scalar: Kubernetes has none.
                None => path.clone(),
            },
            Some(Container::Sequence { path, next }) => {
                let path = joined(path, Step::Index(*next));
                *next += 1;
                self.places.push(place(span, path.clone()));
                path
            }
        }
    }

    /// Whether the character at `position` belongs to a scalar.
    pub fn in_scalar(&self, position: usize) -> bool {
        let after = self.scalars.partition_point(|(start, _)| *start <= position);
        self.scalars
            .get(after.wrapping_sub(1))
            .is_some_and(|(_, end)| position < *end)
    }
}

fn place(span: &Span, path: Path) -> Place {
    Place {
        line: span.start.line().saturating_sub(1),
        path,
    }
}

fn joined(path: &Path, step: Step) -> Path {
    let mut path = path.clone();
    path.push(step);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<(usize, String)> {
        let written = |path: &Path| {
            let steps = path.iter().map(|step| match step {
                Step::Key(key) => key.clone(),
                Step::Index(index) => index.to_string(),
            });
            steps.collect::<Vec<_>>().join(".")
        };
        let index = Index::of(text).unwrap();
        index
            .places
            .iter()
            .map(|place| (place.line, written(&place.path)))
            .collect()
    }

    #[test]
    fn every_value_has_a_place() {
        let text = "spec:\n  files:\n  - path: /a\n    content: |\n      # no comment\n  - path: /b\n  args: [x, y]\n";
        let expected = [
            (0, "spec"),
            (1, "spec.files"),
            (2, "spec.files.0"),
            (2, "spec.files.0.path"),
            (3, "spec.files.0.content"),
            (5, "spec.files.1"),
            (5, "spec.files.1.path"),
            (6, "spec.args"),
            (6, "spec.args.0"),
            (6, "spec.args.1"),
        ];
        assert_eq!(places(text), expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn scalars_are_known() {
        let text = "a: |\n  # text\nb: 1 # comment\n";
        let index = Index::of(text).unwrap();
        let [text_hash, comment_hash] = [text.find('#').unwrap(), text.rfind('#').unwrap()];
        assert!(index.in_scalar(text_hash));
        assert!(!index.in_scalar(comment_hash));
    }

    #[test]
    fn empty_lines_belong_to_a_text_that_keeps_them() {
        let after_text = |text: &str| Index::of(text).unwrap().in_scalar(text.find("\n\n").unwrap() + 1);
        assert!(!after_text("a: |\n  text\n\nb: 1\n"));
        assert!(after_text("a: |+\n  text\n\nb: 1\n"));
    }
}
