//! Diagnostics as text, in the manner of rustc.
//!
//! In: diagnostics and the source they point into. Out: text for a person. Holds: the only place that knows how a message looks.

use crate::source::Source;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use kiln_lang::diag::{Diagnostic, Label, Severity};
use kiln_lang::span::{SourceId, Span, line_column};

/// With or without terminal colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For pipes and files.
    Plain,
    /// For terminals.
    Coloured,
}

/// Lines longer than this are cut around the label, so that a message stays readable.
const LONGEST_LINE: usize = 240;

/// Renders diagnostics one below the other, each followed by an empty line but the last.
pub fn render(diagnostics: &[Diagnostic], source: &Source, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    }
    .decor_style(DecorStyle::Ascii);
    let texts: Vec<String> =
        diagnostics.iter().map(|diagnostic| render_one(diagnostic, source, &renderer)).collect();
    texts.join("\n\n")
}

fn render_one(diagnostic: &Diagnostic, source: &Source, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(&diagnostic.title));
    let window = Window::around(diagnostic, source);
    let mut cut_place = None;
    if let Some(window) = &window {
        let mut snippet = Snippet::source(&window.text).line_start(window.first_line);
        if window.is_cut {
            // The renderer counts columns from the start of what it is given.
            let (line, column) = line_column(&source.text, diagnostic.primary.span.start);
            cut_place =
                Some(format!("at {}:{line}:{column}; only a part of this long line is shown", source.name));
        } else {
            snippet = snippet.path(&source.name);
        }
        snippet = snippet.annotation(annotation(AnnotationKind::Primary, &diagnostic.primary, window));
        for label in &diagnostic.secondary {
            if label.span.source == diagnostic.primary.span.source && window.contains(label.span) {
                snippet = snippet.annotation(annotation(AnnotationKind::Context, label, window));
            }
        }
        group = group.element(snippet);
    }
    for note in cut_place.iter().chain(&diagnostic.notes) {
        group = group.element(Level::NOTE.message(note));
    }
    for help in &diagnostic.helps {
        group = group.element(Level::HELP.message(help));
    }
    renderer.render(&[group])
}

fn annotation<'a>(
    kind: AnnotationKind,
    label: &'a Label,
    window: &Window,
) -> annotate_snippets::Annotation<'a> {
    let annotation = kind.span(window.place(label.span));
    if label.text.is_empty() { annotation } else { annotation.label(label.text.as_str()) }
}

/// The part of the source that a message shows: whole lines, or a piece of a line that is too long.
struct Window {
    text: String,
    start: usize,
    first_line: usize,
    /// Does it begin in the middle of a line?
    is_cut: bool,
}

impl Window {
    fn around(diagnostic: &Diagnostic, source: &Source) -> Option<Window> {
        let primary = diagnostic.primary.span;
        if primary.source == SourceId::PRELUDE || primary.start as usize > source.text.len() {
            return None;
        }
        let spans = || {
            std::iter::once(primary)
                .chain(diagnostic.secondary.iter().map(|label| label.span))
                .filter(|span| span.source == primary.source)
        };
        let text = &source.text;
        let clamp = |at: u32| boundary(text, (at as usize).min(text.len()));
        let first = spans().map(|span| clamp(span.start)).min()?;
        let last = spans().map(|span| clamp(span.end)).max()?;
        let start = text.as_bytes()[..first].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let end =
            text.as_bytes()[last..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| last + at);
        let first_line = text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
        if text[start..end].lines().all(|line| line.len() <= LONGEST_LINE) {
            return Some(Window { text: text[start..end].to_string(), start, first_line, is_cut: false });
        }
        let line = text.as_bytes()[..clamp(primary.start)].iter().filter(|&&byte| byte == b'\n').count() + 1;
        let line_start = text.as_bytes()[..clamp(primary.start)]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        let from = boundary(text, clamp(primary.start).saturating_sub(60)).max(line_start);
        let to = boundary(text, (from + LONGEST_LINE).min(text.len()));
        let piece = text[from..to].split('\n').next().unwrap_or("");
        Some(Window { text: piece.to_string(), start: from, first_line: line, is_cut: from > line_start })
    }

    fn contains(&self, span: Span) -> bool {
        span.start as usize >= self.start && span.end as usize <= self.start + self.text.len()
    }

    fn place(&self, span: Span) -> std::ops::Range<usize> {
        let at = |offset: u32| {
            boundary(&self.text, (offset as usize).saturating_sub(self.start).min(self.text.len()))
        };
        at(span.start)..at(span.end).max(at(span.start))
    }
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_has_cause_place_and_next_step() {
        let source = Source { name: "dot.kiln".into(), text: "fn f(x) {\n  let s = sum(x)\n}\n".into() };
        let span = Span::new(SourceId(0), 20, 26);
        let text = render(&[Diagnostic::error("no", span, "here").help("do")], &source, Style::Plain);
        assert_eq!(
            text,
            "error: no\n --> dot.kiln:2:11\n  |\n2 |   let s = sum(x)\n  |           ^^^^^^ here\n  |\n  = help: do"
        );
    }

    #[test]
    fn very_long_line_is_cut_around_the_place() {
        let source = Source { name: "long".into(), text: format!("{}x", "a ".repeat(100_000)) };
        let span = Span::new(SourceId(0), 200_000, 200_001);
        let text = render(&[Diagnostic::error("no", span, "")], &source, Style::Plain);
        assert!(text.len() < 600, "{}", text.len());
        assert!(text.contains("at long:1:200001;"), "{text}");
    }
}
