//! What a program said.

use std::process::Command;

#[derive(Clone, Debug)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// -1 for one that a signal ended.
    pub code: i32,
}

impl Output {
    pub fn of(command: &mut Command) -> Output {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Output {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or(-1),
        }
    }

    #[track_caller]
    pub fn succeeds(self) -> String {
        assert!(self.code == 0, "exit {}: {}{}", self.code, self.stdout, self.stderr);
        self.stdout
    }

    /// The text of the error.
    #[track_caller]
    pub fn fails(self) -> String {
        assert!(self.code != 0, "it should have failed: {}{}", self.stdout, self.stderr);
        self.stderr
    }
}
