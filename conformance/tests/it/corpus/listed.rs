//! The differences that are known, as `docs/sandbox.md` lists them.

/// A row of a table of known differences.
#[derive(Debug)]
struct Row {
    /// Pattern of names of requests.
    name: String,
    /// Pattern of places in the answer.
    path: String,
    /// How many differences it explained.
    used: usize,
}

/// The table of known differences below one heading.
#[derive(Debug, Default)]
pub struct Listed {
    rows: Vec<Row>,
}

impl Listed {
    /// Reads the rows ``| `name` | `path` | reason |`` below a heading of `docs/sandbox.md`. In names and paths
    /// `*` stands for anything.
    pub fn read(heading: &str) -> Self {
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sandbox.md"));
        let mut here = false;
        let mut rows = Vec::new();
        for line in page.lines() {
            if line.starts_with('#') {
                here = line.trim_start_matches('#').trim() == heading;
            } else if let (true, Some(row)) = (here, row(line)) {
                rows.push(row);
            }
        }
        Self { rows }
    }

    /// Whether a difference is known.
    pub fn covers(&mut self, name: &str, path: &str) -> bool {
        let mut known = false;
        for row in &mut self.rows {
            if matches(&row.name, name) && matches(&row.path, path) {
                row.used += 1;
                known = true;
            }
        }
        known
    }

    /// Rows that explained nothing: the list is to be short.
    pub fn unused(&self) -> Vec<String> {
        let unused = self.rows.iter().filter(|row| row.used == 0);
        unused.map(|row| format!("{} {}", row.name, row.path)).collect()
    }
}

fn row(line: &str) -> Option<Row> {
    let (name, rest) = line.strip_prefix("| `")?.split_once("` | `")?;
    let (path, _) = rest.split_once("` |")?;
    Some(Row {
        name: name.to_owned(),
        path: path.to_owned(),
        used: 0,
    })
}

/// Whether a text fits a pattern in which `*` stands for anything.
pub fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len())
                .filter(|index| text.is_char_boundary(*index))
                .any(|index| matches(rest, &text[index..]))
        }),
    }
}

#[test]
fn patterns() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "ab", true),
        ("*b", "ab", true),
        ("a*c*", "abcd", true),
        ("a*c", "abcd", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn rows_are_read() {
    let row = row("| `create *` | `body.x` | because |").unwrap();
    assert_eq!((row.name.as_str(), row.path.as_str()), ("create *", "body.x"));
}
