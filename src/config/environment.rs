//! Where settings come from: the process' variables, and a `.env` file for those that are not set.

use std::{collections::BTreeMap, env, fmt, path::Path};

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
        let read = dotenvy::from_path_iter(path).and_then(Iterator::collect);
        match read {
            Ok(file) => Ok(Self { file }),
            Err(error) if error.not_found() => Ok(Self {
                file: BTreeMap::new(),
            }),
            // Without the cause, which quotes the line.
            Err(_) => Err(ConfigError {
                problems: vec![Problem {
                    variable: ".env",
                    advice: "cannot be read: each line is NAME=value, and a value with blanks stands in quotes"
                        .to_owned(),
                }],
            }),
        }
    }

    /// The value of one variable; that of the process wins, even when it is empty.
    pub fn lookup(&self, name: &str) -> Option<String> {
        env::var_os(name)
            .map(|value| value.to_string_lossy().into_owned())
            .or_else(|| self.file.get(name).cloned())
    }
}
