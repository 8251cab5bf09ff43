//! Pictures of times: a row for each condition, a dot for each time, as an SVG that follows the
//! reader's light or dark.

use std::fmt::Write;

/// Colours by reading mode; the two sides differ in brightness, too.
const STYLE: &str = "\
text { font-family: system-ui, sans-serif; font-size: 13px; fill: #1f2328 }
.paper { fill: #ffffff } .quiet { fill: #59636e } .grid { stroke: #d8dee4 } .zero { stroke: #8c959f }
.voxpool { fill: #0a6b4c; stroke: #0a6b4c } .livekit-agents { fill: #c4512d; stroke: #c4512d }
text, tspan { stroke: none !important }
circle { stroke: none; fill-opacity: 0.4 }
.title { font-size: 18px; font-weight: 600 } .heading { font-weight: 600 }
.figure { font-size: 12px; font-weight: 600 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .paper { fill: #0d1117 } .quiet { fill: #9198a1 } .grid { stroke: #30363d }
.zero { stroke: #6e7681 }
.voxpool { fill: #4ac99a; stroke: #4ac99a } .livekit-agents { fill: #ff9a76; stroke: #ff9a76 }
circle { fill-opacity: 0.55 }
}";

/// Where a row's label and a heading begin.
const MARGIN: f64 = 20.0;
/// Behind the end of the axis, for the figure of a row whose dots reach it.
const FIGURE_WIDTH: f64 = 90.0;

/// Adds to the text. Writing to a string cannot fail.
fn add(svg: &mut String, arguments: std::fmt::Arguments<'_>) {
    svg.write_fmt(arguments).ok();
    svg.push('\n');
}

/// What all rows share: the picture's size and the scale of time.
pub struct Scale {
    /// Of the picture.
    pub width: f64,
    /// Where the first row or heading begins, below the title.
    pub top: f64,
    /// Where the last one ends.
    pub bottom: f64,
    /// Where time begins; before it are the labels.
    pub left: f64,
    /// The ends of the axis. What lies outside sits at its end.
    pub from_ms: f64,
    /// See `from_ms`.
    pub to_ms: f64,
    /// Between two lines.
    pub tick_ms: f64,
}

/// One side in one condition.
pub struct Row<'a> {
    /// `voxpool` or `livekit-agents`.
    pub side: &'a str,
    /// What stands before it.
    pub label: &'a str,
    /// A dot each, in milliseconds.
    pub each_ms: &'a [f64],
    /// A bar and a figure.
    pub p50_ms: f64,
    /// The end of the thin line.
    pub p95_ms: f64,
}

impl Scale {
    /// The picture's beginning with its title, one line of explanation after the other, and the axis.
    /// `about` is what those hear who do not see it. [`end`] ends it.
    pub fn begin(&self, about: &str, title: &str, lines: &[&str]) -> String {
        let (width, height) = (self.width, self.bottom + 64.0);
        let mut svg = String::new();
        add(
            &mut svg,
            format_args!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
                 width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{about}\">\n\
                 <style>{STYLE}</style>\n\
                 <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n\
                 <text class=\"title\" x=\"{MARGIN}\" y=\"32\">{title}: \
                 <tspan class=\"voxpool\">voxpool</tspan> beside \
                 <tspan class=\"livekit-agents\">livekit-agents 1.8.9</tspan></text>"
            ),
        );
        let mut y = 54.0;
        for line in lines {
            add(
                &mut svg,
                format_args!("<text class=\"quiet\" x=\"{MARGIN}\" y=\"{y}\">{line}</text>"),
            );
            y += 18.0;
        }
        self.axis(&mut svg);
        svg
    }

    fn axis(&self, svg: &mut String) {
        let (top, bottom) = (self.top, self.bottom);
        let mut ms = self.from_ms;
        while ms <= self.to_ms {
            let (x, y) = (self.x(ms), bottom + 20.0);
            let more = if ms == self.to_ms { "+" } else { "" };
            let class = if ms == 0.0 { "zero" } else { "grid" };
            add(
                svg,
                format_args!(
                    "<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"{top}\" y2=\"{bottom}\"/>\n\
                     <text class=\"quiet\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{ms}{more}</text>"
                ),
            );
            ms += self.tick_ms;
        }
        let (middle, y) = (
            f64::midpoint(self.x(self.from_ms), self.x(self.to_ms)),
            bottom + 44.0,
        );
        add(
            svg,
            format_args!(
                "<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">time in milliseconds</text>"
            ),
        );
    }

    fn x(&self, ms: f64) -> f64 {
        let share =
            (ms.clamp(self.from_ms, self.to_ms) - self.from_ms) / (self.to_ms - self.from_ms);
        self.left + share * (self.width - self.left - FIGURE_WIDTH)
    }

    /// What the rows below are about.
    pub fn heading(&self, svg: &mut String, y: f64, heading: &str) {
        add(
            svg,
            format_args!("<text class=\"heading\" x=\"{MARGIN}\" y=\"{y}\">{heading}</text>"),
        );
    }

    /// A row whose middle is at `y`.
    pub fn row(&self, svg: &mut String, y: f64, row: &Row<'_>) {
        let (side, label, text_y) = (row.side, row.label, y + 4.0);
        add(
            svg,
            format_args!("<text class=\"{side}\" x=\"{MARGIN}\" y=\"{text_y}\">{label}</text>"),
        );
        for (index, ms) in row.each_ms.iter().enumerate() {
            // Spread over the height of the row, so that equal ones do not hide each other.
            let (x, y) = (self.x(*ms), y - 12.0 + (index * 11 % 25) as f64);
            add(
                svg,
                format_args!("<circle class=\"{side}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"),
            );
        }
        let Some(last_ms) = row.each_ms.iter().copied().reduce(f64::max) else {
            return;
        };
        let (from, to, p50) = (self.x(row.p50_ms), self.x(row.p95_ms), row.p50_ms);
        let (y1, y2, label_x) = (y - 15.0, y + 15.0, self.x(last_ms) + 8.0);
        add(
            svg,
            format_args!(
                "<line class=\"{side}\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y}\" y2=\"{y}\"/>\n\
                 <line class=\"{side}\" x1=\"{from:.1}\" x2=\"{from:.1}\" y1=\"{y1}\" y2=\"{y2}\" stroke-width=\"3\"/>\n\
                 <text class=\"{side} figure\" x=\"{label_x:.1}\" y=\"{text_y}\">{p50:.0} ms</text>"
            ),
        );
    }
}

/// The picture's end.
pub fn end(mut svg: String) -> String {
    svg.push_str("</svg>\n");
    svg
}
