//! Where the decoder is, and what it found on the way.

/// Unknown and duplicate fields that are listed at most, as upstream has it.
const PROBLEMS_MAX: usize = 100;

#[derive(Default)]
pub(super) struct Report {
    /// `spec.containers[0]`
    path: String,
    /// JSON names of the fields above, without indices and map keys.
    fields: Vec<&'static str>,
    /// The innermost message.
    message: &'static str,
    pub problems: Vec<String>,
    /// Repeated fields are only noted here, not told, where the language has lines by which to tell them.
    pub repeats: Option<bool>,
    /// The first value of a wrong type.
    pub mismatch: Option<String>,
}

impl Report {
    pub fn of_yaml() -> Self {
        Self { repeats: Some(false), ..Self::default() }
    }

    /// Of a part of an object that is at this path.
    pub fn at(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    /// Runs `inside` one field deeper.
    pub fn in_field<R>(&mut self, json: &'static str, inside: impl FnOnce(&mut Self) -> R) -> R {
        self.fields.push(json);
        let result = self.in_key(json, inside);
        self.fields.pop();
        result
    }

    /// Runs `inside` one map key deeper.
    pub fn in_key<R>(&mut self, key: &str, inside: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        let result = inside(self);
        self.path.truncate(length);
        result
    }

    pub fn in_item<R>(&mut self, index: usize, inside: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        let result = inside(self);
        self.path.truncate(length);
        result
    }

    pub fn in_message<R>(&mut self, name: &'static str, inside: impl FnOnce(&mut Self) -> R) -> R {
        let outer = std::mem::replace(&mut self.message, name);
        let result = inside(self);
        self.message = outer;
        result
    }

    pub fn unknown(&mut self, field: &str) {
        self.problem("unknown", field);
    }

    pub fn duplicate(&mut self, field: &str) {
        match &mut self.repeats {
            Some(repeats) => *repeats = true,
            None => self.problem("duplicate", field),
        }
    }

    fn problem(&mut self, what: &str, field: &str) {
        if self.problems.len() == PROBLEMS_MAX {
            return;
        }
        let dot = if self.path.is_empty() { "" } else { "." };
        let problem = format!("{what} field \"{}{dot}{field}\"", self.path);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Notes that a `found` value stands where Go wants a `wanted`; the first such value counts.
    pub fn mismatch(&mut self, found: &str, wanted: &str) {
        let place = match self.fields.is_empty() {
            true => "Go value".to_owned(),
            false => {
                let message = self.message.rsplit('.').next().unwrap_or_default();
                format!("Go struct field {message}.{}", self.fields.join("."))
            }
        };
        self.refuse(format!("json: cannot unmarshal {found} into {place} of type {wanted}"));
    }

    pub fn refuse(&mut self, reason: String) {
        self.mismatch.get_or_insert(reason);
    }
}
