//! The report, as a person or a machine reads it.
//!
//! In: outcomes. Out: text, Markdown or JSON. Holds: all three say the same; nothing is measured here.

use super::measure::{Comparison, MARGIN, Outcome};
use super::stats::Interval;
use serde_json::{Value, json};
use std::fmt::Write;

/// All that a report says.
pub struct Report {
    /// The machine, the versions, the flags; one per line.
    pub about: Vec<String>,
    /// Who is missing, and why.
    pub notes: Vec<String>,
    /// Pairs for each ratio.
    pub pairs: usize,
    /// Row by row.
    pub outcomes: Vec<Outcome>,
}

/// What stands before and behind the report in a document, so that it can be replaced.
const MARKERS: (&str, &str) = ("<!-- peers: begin -->\n", "<!-- peers: end -->");

impl Report {
    /// The document with the report between its markers replaced by this one.
    ///
    /// # Errors
    /// There are no markers.
    pub fn update(&self, document: &str) -> Result<String, String> {
        let missing = || format!("it has no `{}` and `{}`", MARKERS.0.trim_end(), MARKERS.1);
        let (before, rest) = document.split_once(MARKERS.0).ok_or_else(missing)?;
        let (_, after) = rest.split_once(MARKERS.1).ok_or_else(missing)?;
        Ok(format!("{before}{}\n{}{}{after}", MARKERS.0, self.markdown(), MARKERS.1))
    }

    /// Tables.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for line in self.about.iter().chain(&self.notes) {
            let _ = writeln!(text, "- {line}");
        }
        let _ = writeln!(
            text,
            "- {} pairs for each ratio; in brackets the 95 % interval of the median; a figure is reached when the interval's lower end is at least {MARGIN} of it\n",
            self.pairs
        );
        let head = [
            "kernel",
            "Kiln",
            "against",
            "its time",
            "times as fast",
            "to reach",
            "reached",
            "outputs made inside",
        ];
        let mut table = Table::new(&head);
        for outcome in &self.outcomes {
            for rival in &outcome.rivals {
                table.row(self.rival(outcome, rival));
            }
        }
        let _ = writeln!(text, "{}", table.text());
        let mut table =
            Table::new(&["kernel", "code for", "against", "times as fast", "to reach", "reached"]);
        for outcome in &self.outcomes {
            for cap in &outcome.caps {
                let ratio = match &cap.measured {
                    Ok(measured) => measured.ratio.map_or(String::new(), times),
                    Err(reason) => reason.clone(),
                };
                let title = outcome.row.title.to_string();
                table.row(vec![
                    title,
                    cap.subject.clone(),
                    cap.title.clone(),
                    ratio,
                    figure(cap),
                    verdict(cap).into(),
                ]);
            }
        }
        let _ = writeln!(text, "Kiln on fewer instructions:\n\n{}", table.text());
        let mut table = Table::new(&["kernel", "Kiln, source to callable", "to reach", "reached", "Numba"]);
        for outcome in &self.outcomes {
            let Some(compile) = outcome.compile else { continue };
            table.row(vec![
                outcome.row.title.into(),
                format!(
                    "{} ({}–{})",
                    duration(compile.median),
                    duration(compile.low),
                    duration(compile.high)
                ),
                format!("≤ {}", duration(COMPILE_FIGURE)),
                if compile.median <= COMPILE_FIGURE { "yes" } else { "no" }.into(),
                outcome.numba_compile.map_or(String::new(), |numba| duration(numba.median)),
            ]);
        }
        let _ = writeln!(text, "Compile time in a warm process:\n\n{}", table.text());
        let mut table = Table::new(&["kernel", "program", "its innermost loop"]);
        for outcome in &self.outcomes {
            for rival in &outcome.rivals {
                if let Some(hot) = &rival.hot {
                    table.row(vec![outcome.row.title.into(), rival.title.clone(), hot.to_string()]);
                }
            }
        }
        let _ = writeln!(text, "The peers' machine code:\n\n{}", table.text());
        text
    }

    fn rival(&self, outcome: &Outcome, rival: &Comparison) -> Vec<String> {
        let kiln = match &outcome.kiln {
            Ok(kiln) => duration(kiln.median),
            Err(_) => "–".into(),
        };
        let mut cells = vec![outcome.row.title.to_string(), kiln, rival.title.clone()];
        match &rival.measured {
            Ok(measured) => {
                cells.push(duration(measured.time.median));
                cells.push(match (&outcome.kiln, measured.ratio) {
                    (Ok(_), Some(ratio)) => times(ratio),
                    (Ok(_), None) => String::new(),
                    (Err(reason), _) => format!("not yet: {reason}"),
                });
                cells.push(figure(rival));
                cells.push(verdict(rival).into());
                cells.push(measured.fresh.map_or(String::new(), times));
            }
            Err(reason) => {
                cells.extend([String::new(), format!("skipped: {reason}"), figure(rival)]);
                cells.extend([String::new(), String::new()]);
            }
        }
        cells
    }

    /// For a machine.
    pub fn json(&self) -> Value {
        let outcomes: Vec<Value> = self.outcomes.iter().map(outcome).collect();
        json!({ "about": self.about, "notes": self.notes, "pairs": self.pairs, "margin": MARGIN, "rows": outcomes })
    }
}

/// Nanoseconds from source to callable.
const COMPILE_FIGURE: f64 = 1e6;

fn outcome(outcome: &Outcome) -> Value {
    let (kiln, reason) = match &outcome.kiln {
        Ok(kiln) => (Some(numbers(*kiln)), None),
        Err(reason) => (None, Some(reason)),
    };
    json!({
        "row": outcome.row.name,
        "title": outcome.row.title,
        "agree": format!("{:?}", outcome.row.agree),
        "kiln_ns": kiln,
        "not_yet": reason,
        "rivals": outcome.rivals.iter().map(comparison).collect::<Vec<_>>(),
        "caps": outcome.caps.iter().map(comparison).collect::<Vec<_>>(),
        "compile_ns": outcome.compile.map(numbers),
        "numba_compile_ns": outcome.numba_compile.map(numbers),
    })
}

fn comparison(comparison: &Comparison) -> Value {
    let head = json!({
        "subject": comparison.subject,
        "against": comparison.title,
        "figure": comparison.figure,
        "reached": comparison.reached(),
        "loop": comparison.hot.as_ref().map(ToString::to_string),
    });
    let body = match &comparison.measured {
        Ok(measured) => json!({
            "time_ns": numbers(measured.time),
            "ratio": measured.ratio.map(numbers),
            "fresh_ratio": measured.fresh.map(numbers),
            "apart": measured.apart,
        }),
        Err(reason) => json!({ "skipped": reason }),
    };
    let (Value::Object(mut head), Value::Object(body)) = (head, body) else {
        unreachable!("both are objects")
    };
    head.extend(body);
    Value::Object(head)
}

fn numbers(interval: Interval) -> Value {
    json!({ "median": interval.median, "low": interval.low, "high": interval.high })
}

fn figure(comparison: &Comparison) -> String {
    comparison.figure.map_or(String::new(), |figure| format!("≥ {figure}"))
}

fn verdict(comparison: &Comparison) -> &'static str {
    match comparison.reached() {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    }
}

/// `1.52 (1.50–1.55)`
pub fn times(ratio: Interval) -> String {
    let digits = if ratio.median < 10.0 { 2 } else { 1 };
    format!("{:.digits$} ({:.digits$}–{:.digits$})", ratio.median, ratio.low, ratio.high)
}

/// `12.3 ms`
pub fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns >= 1e9 => format!("{:.2} s", ns / 1e9),
        ns if ns >= 1e8 => format!("{:.0} ms", ns / 1e6),
        ns if ns >= 1e7 => format!("{:.1} ms", ns / 1e6),
        ns if ns >= 1e6 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.0} µs", ns / 1e3),
    }
}

/// One comparison in a line, as soon as it is there.
pub fn line(comparison: &Comparison) -> String {
    let result = match &comparison.measured {
        Ok(measured) => {
            let ratio = measured.ratio.map_or("no ratio".into(), times);
            format!("{:>9}  {ratio}", duration(measured.time.median))
        }
        Err(reason) => format!("skipped: {reason}"),
    };
    let goal = match comparison.figure {
        Some(figure) => format!("  to reach {figure}: {}", verdict(comparison)),
        None => String::new(),
    };
    format!("  {:<44} {result}{goal}", format!("{} against {}", comparison.subject, comparison.title))
}

/// A table in Markdown, its columns aligned for those who read it as text.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: &[&str]) -> Table {
        Table { rows: vec![head.iter().map(ToString::to_string).collect()] }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect());
    }

    fn text(&self) -> String {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let mut text = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "| {cell:<width$} ");
            }
            text.push_str("|\n");
            if at == 0 {
                widths.iter().for_each(|width| text.push_str(&format!("|{}", "-".repeat(width + 2))));
                text.push_str("|\n");
            }
        }
        text
    }
}
