//! Reads one setting after another and notes every problem on the way.

use std::fs;

use secrecy::{ExposeSecret, SecretString};

use super::{ConfigError, Mode, Problem};

/// Why a value is not taken, and what to do; it never repeats the value.
pub(super) type Advice = std::borrow::Cow<'static, str>;

/// A setting cannot be used, and the problem is noted; reading goes on, to find the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted;

/// What a lookup came to; `None` when the variable is not set, or set to nothing.
pub(super) type Found<T> = Result<Option<T>, Noted>;

/// Where values come from, and what was wrong with them.
pub(super) struct Reader<'a> {
    mode: Mode,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(mode: Mode, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            mode,
            lookup,
            problems: Vec::new(),
        }
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// The result of everything that was read, if all of it was well.
    pub(super) fn finish<T>(self, result: Result<T, Noted>) -> Result<T, ConfigError> {
        match result {
            Ok(result) if self.problems.is_empty() => Ok(result),
            _ => Err(ConfigError {
                problems: self.problems,
            }),
        }
    }

    pub(super) fn problem(&mut self, variable: &'static str, advice: impl Into<String>) -> Noted {
        self.problems.push(Problem {
            variable,
            advice: advice.into(),
        });
        Noted
    }

    /// A setting that anybody may see.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Advice>,
    ) -> Found<T> {
        match (self.lookup)(name) {
            Some(text) if !text.trim().is_empty() => self.checked(name, &text, parse),
            _ => Ok(None),
        }
    }

    /// A setting that nobody may see: in the variable itself, or in the file that `NAME_FILE` names.
    pub(super) fn secret<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Advice>,
    ) -> Found<T> {
        match self.text(name)? {
            Some(text) => self.checked(name, text.expose_secret(), parse),
            None => Ok(None),
        }
    }

    /// A setting of several lines: in the variable itself, or in the file that `NAME_FILE` names.
    pub(super) fn document<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Advice>,
    ) -> Found<T> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        parse(text.expose_secret().trim())
            .map(Some)
            .map_err(|advice| self.problem(name, advice))
    }

    /// What the variable says, or the file that `NAME_FILE` names.
    fn text(&mut self, name: &'static str) -> Found<SecretString> {
        let direct = (self.lookup)(name).map(SecretString::from);
        let file = (self.lookup)(&format!("{name}_FILE")).filter(|path| !path.trim().is_empty());
        let text = match (direct, file) {
            (Some(direct), Some(_)) if !direct.expose_secret().trim().is_empty() => {
                return Err(self.problem(name, format!("and {name}_FILE are both set: remove one")));
            }
            (_, Some(path)) => {
                // Neither the path nor the cause: somebody may have put the secret itself there.
                let advice = format!("cannot be read from the file that {name}_FILE names");
                let text =
                    fs::read_to_string(path.trim()).map_err(|_| self.problem(name, advice))?;
                SecretString::from(text)
            }
            (Some(direct), None) => direct,
            (None, None) => return Ok(None),
        };
        if text.expose_secret().trim().is_empty() {
            return Err(self.problem(name, "is empty: give it a value, or remove it"));
        }
        Ok(Some(text))
    }

    fn checked<T>(
        &mut self,
        name: &'static str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, Advice>,
    ) -> Found<T> {
        let text = text.trim();
        let parsed = if text.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER)
        {
            Err("holds a character that cannot be printed".into())
        } else {
            parse(text)
        };
        parsed
            .map(Some)
            .map_err(|advice| self.problem(name, advice))
    }

    /// A setting that has to be there, except where `usual` stands in for it.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        found: Found<T>,
        usual: Option<T>,
        advice: &str,
    ) -> Result<T, Noted> {
        found?
            .or(usual)
            .ok_or_else(|| self.problem(name, format!("is not set: {advice}")))
    }
}
