//! Figures with names: what the cases of memory and latency give.

/// Something that is measured in a process of its own.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    /// What it is.
    pub shows: &'static str,
}

/// One result.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it is, with its unit.
    pub name: String,
    /// How much.
    pub value: f64,
}

impl Figure {
    /// A figure.
    pub fn new(name: impl Into<String>, value: f64) -> Self {
        Figure { name: name.into(), value }
    }

    /// The form in which a child hands it to the runner.
    pub fn to_line(&self) -> String {
        format!("{} {}", self.value, self.name)
    }

    /// The opposite of [`to_line`](Self::to_line).
    pub fn from_line(line: &str) -> Option<Figure> {
        let (value, name) = line.split_once(' ')?;
        Some(Figure::new(name, value.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_go_through_a_line() {
        let figure = Figure::new("idle: RSS, MiB", 12.5);
        assert_eq!(Figure::from_line(&figure.to_line()), Some(figure));
        assert_eq!(Figure::from_line("much"), None);
    }
}
