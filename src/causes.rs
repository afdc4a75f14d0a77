//! An error and all that caused it, in one line of the log: formats differ in whether they tell causes by themselves.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
};

/// Tells an error with its causes, the nearest first.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Display + 'a {
    Causes(error)
}

struct Causes<'a>(&'a (dyn Error + 'static));

impl Display for Causes<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors say what their cause says.
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Odd {
        #[error("the disk is full")]
        Disk,
        #[error("it could not be written: {0}")]
        Write(#[source] Box<Odd>),
        #[error("nothing was kept")]
        Keep(#[source] Box<Odd>),
    }

    #[test]
    fn every_cause_is_told_once() {
        let error = Odd::Keep(Odd::Write(Odd::Disk.into()).into());
        assert_eq!(
            causes(&error).to_string(),
            "nothing was kept: it could not be written: the disk is full"
        );
    }
}
