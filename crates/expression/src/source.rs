//! The text of an expression, and the faults found in it, printed with the line and a caret below.

use std::fmt;

/// More faults than this are counted and not shown.
const ISSUES_MAX: usize = 100;
/// Lines longer than this are not repeated.
const SNIPPET_MAX: usize = 16_384;

/// A place in the text, counted in characters; `NOWHERE` where a fault has none.
pub type Offset = u32;
pub const NOWHERE: Offset = u32::MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    pub offset: Offset,
    pub message: String,
}

/// Why an expression was refused. Prints as upstream does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issues {
    text: String,
    issues: Vec<Issue>,
    count: usize,
}

impl Issues {
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), issues: Vec::new(), count: 0 }
    }

    pub fn report(&mut self, offset: Offset, message: impl Into<String>) {
        self.count += 1;
        if self.count <= ISSUES_MAX {
            self.issues.push(Issue { offset, message: message.into() });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn write(&self, issue: &Issue, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if issue.offset == NOWHERE {
            return write!(f, "ERROR: <input>:-1:0: {}", issue.message);
        }
        let (line, column) = self.position(issue.offset);
        write!(f, "ERROR: <input>:{}:{}: {}", line + 1, column + 1, issue.message)?;
        let snippet = self.text.split('\n').nth(line).unwrap_or_default();
        if snippet.len() > SNIPPET_MAX {
            return Ok(());
        }
        write!(f, "\n | {}\n | ", snippet.replace('\t', " "))?;
        let mut characters = snippet.chars();
        for passed in characters.by_ref().take(column) {
            f.write_str(if passed.is_ascii() { "." } else { "\u{ff0e}" })?;
        }
        f.write_str(if characters.next().is_none_or(|at| at.is_ascii()) { "^" } else { "\u{ff3e}" })
    }

    /// Line and column, both from zero.
    fn position(&self, offset: Offset) -> (usize, usize) {
        let mut left = offset as usize;
        for (line, text) in self.text.split('\n').enumerate() {
            let length = text.chars().count();
            if left <= length {
                return (line, left);
            }
            left -= length + 1;
        }
        (self.text.split('\n').count() - 1, 0)
    }
}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&Issue> = self.issues.iter().collect();
        // Those without a place come first.
        sorted.sort_by_key(|issue| issue.offset.wrapping_add(1));
        for (index, issue) in sorted.into_iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            self.write(issue, f)?;
        }
        if self.count > ISSUES_MAX {
            write!(f, "\n{} more errors were truncated", self.count - ISSUES_MAX)?;
        }
        Ok(())
    }
}

impl std::error::Error for Issues {}
