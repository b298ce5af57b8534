//! The table and the JSON line.

use std::fmt;

use procfs::Current;
use serde_json::{Value, json};

/// What a value should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

impl Aim {
    fn is_met(self, value: f64) -> bool {
        match self {
            Aim::AtMost(aim) => value <= aim,
            Aim::AtLeast(aim) => value >= aim,
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Aim::AtMost(aim) => f.pad(&format!("<= {aim}")),
            Aim::AtLeast(aim) => f.pad(&format!(">= {aim}")),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    pub aim: Option<Aim>,
    /// Why there is no value.
    pub failure: Option<String>,
}

impl Measure {
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, aim: None, failure: None }
    }

    pub fn aim(self, aim: Aim) -> Self {
        Self { aim: Some(aim), ..self }
    }

    pub fn failed(name: &str, error: &anyhow::Error) -> Self {
        Self { failure: Some(format!("{error:#}")), ..Self::new(name, 0.0, "") }
    }

    fn row(&self) -> String {
        if let Some(failure) = &self.failure {
            return format!("{:<44} failed: {failure}", self.name);
        }
        let aim = self.aim.map(|aim| aim.to_string()).unwrap_or_default();
        let met = self.aim.map_or("", |aim| if aim.is_met(self.value) { "yes" } else { "no" });
        let row = format!("{:<44} {:>10} {:<14} {aim:<10} {met}", self.name, rounded(self.value), self.unit);
        row.trim_end().to_owned()
    }

    fn json(&self) -> Value {
        let met = self.aim.map(|aim| aim.is_met(self.value));
        match &self.failure {
            Some(failure) => json!({"name": self.name, "failure": failure}),
            None => json!({"name": self.name, "value": self.value, "unit": self.unit,
                "aim": self.aim.map(|aim| aim.to_string()), "met": met}),
        }
    }
}

/// Three digits that count, or all of a whole number.
fn rounded(value: f64) -> String {
    let decimals = if value >= 100.0 { 0 } else { usize::from(value < 10.0) + 1 };
    format!("{value:.decimals$}")
}

pub fn table(measures: &[Measure]) -> String {
    let head = format!("\n{:<44} {:>10} {:<14} {:<10} reached\n", "measured", "value", "unit", "aim");
    let rule = format!("{}\n", "-".repeat(head.len() - 2));
    let rows = measures.iter().map(|measure| measure.row() + "\n");
    [head, rule].into_iter().chain(rows).collect()
}

pub fn json(machine: &Machine, quick: bool, measures: &[Measure]) -> Value {
    let measures: Vec<Value> = measures.iter().map(Measure::json).collect();
    json!({"cores": machine.cores, "memoryGiB": machine.memory_gib, "kernel": machine.kernel,
        "loadBefore": machine.load, "quick": quick, "measures": measures})
}

/// Where it was measured.
pub struct Machine {
    cores: usize,
    memory_gib: u64,
    kernel: String,
    /// Average count of runnable tasks in the minute before.
    load: f64,
}

impl Machine {
    pub fn look() -> anyhow::Result<Self> {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
        let memory_gib = procfs::Meminfo::current()?.mem_total.div_ceil(1 << 30);
        let load = (f64::from(procfs::LoadAverage::current()?.one) * 100.0).round() / 100.0;
        Ok(Self { cores: std::thread::available_parallelism()?.get(), memory_gib, kernel, load })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, memory_gib, kernel, load } = self;
        write!(f, "{cores} cores, {memory_gib} GiB, Linux {kernel}, load average before: {load}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: f64, aim: Aim) -> String {
        Measure::new("a", value, "ms").aim(aim).row().split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_row_says_whether_the_aim_was_reached() {
        assert_eq!(row(0.5, Aim::AtMost(0.5)), "0.50 ms <= 0.5 yes");
        assert_eq!(row(0.51, Aim::AtMost(0.5)), "0.51 ms <= 0.5 no");
        assert_eq!(row(9_999.4, Aim::AtLeast(10_000.0)), "9999 ms >= 10000 no");
        assert_eq!(row(12.34, Aim::AtLeast(2.0)), "12.3 ms >= 2 yes");
    }

    #[test]
    fn what_failed_says_why_instead_of_a_value() {
        let failed = Measure::failed("pods", &anyhow::anyhow!("no image"));
        assert!(table(std::slice::from_ref(&failed)).ends_with("failed: no image\n"));
        assert_eq!(failed.json(), json!({"name": "pods", "failure": "no image"}));
    }
}
