//! Where settings come from: the process' variables, and a `.env` file for those that are not set.

use std::{
    cell::Cell,
    collections::BTreeMap,
    env, fmt, fs,
    io::{self, ErrorKind, Read},
    path::Path,
};

use super::{ConfigError, Problem};

/// The variables of the process over those of a file. The file is only read: nothing is set in the process.
pub struct Environment {
    file: BTreeMap<String, String>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: any value may be a secret.
        f.debug_set().entries(self.file.keys()).finish()
    }
}

impl Environment {
    /// Reads `.env` in the current folder, if it is there.
    pub fn read() -> Result<Self, ConfigError> {
        Self::with_file(Path::new(".env"))
    }

    /// Reads another file in its place.
    pub fn with_file(path: &Path) -> Result<Self, ConfigError> {
        match fs::read(path) {
            Ok(text) => Ok(Self {
                file: parse(&text)?,
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self {
                file: BTreeMap::new(),
            }),
            Err(error) => Err(broken(format!("cannot be read: {}", error.kind()))),
        }
    }

    /// The value of one variable; that of the process wins, even when it is empty.
    pub fn lookup(&self, name: &str) -> Option<String> {
        env::var_os(name)
            .map(|value| value.to_string_lossy().into_owned())
            .or_else(|| self.file.get(name).cloned())
    }
}

/// What is wrong is told by its line, and not by the cause, which quotes it.
fn parse(text: &[u8]) -> Result<BTreeMap<String, String>, ConfigError> {
    let taken = Cell::new(0);
    let lines = LineByLine {
        rest: text,
        taken: &taken,
    };
    let (mut file, mut understood) = (BTreeMap::new(), 0);
    for pair in dotenvy::from_read_iter(lines) {
        let Ok((name, value)) = pair else {
            return Err(broken(format!(
                "cannot be read in line {}: each line is NAME=value, and a value with blanks, quotes, $ or \\ stands in \
                 single quotes",
                line_after(text, understood)
            )));
        };
        file.insert(name, value);
        understood = taken.get();
    }
    Ok(file)
}

/// The number of the first line after so many that is neither empty nor a comment.
fn line_after(text: &[u8], understood: usize) -> usize {
    let lines = text.split(|byte| *byte == b'\n').skip(understood);
    let mut starts = lines.map(|line| line.trim_ascii_start().first());
    let before = starts.position(|first| first.is_some_and(|first| *first != b'#'));
    understood + before.unwrap_or(0) + 1
}

fn broken(advice: String) -> ConfigError {
    ConfigError {
        problems: vec![Problem {
            variable: ".env",
            advice,
        }],
    }
}

/// Gives no more than a line at a time, so that whoever reads has taken no more than what it has come to.
struct LineByLine<'a> {
    rest: &'a [u8],
    taken: &'a Cell<usize>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let (mut line, _) = self
            .rest
            .split_at(end.map_or(self.rest.len(), |end| end + 1));
        let read = line.read(into)?;
        let (given, rest) = self.rest.split_at(read);
        self.taken
            .set(self.taken.get() + usize::from(given.ends_with(b"\n")));
        self.rest = rest;
        Ok(read)
    }
}
