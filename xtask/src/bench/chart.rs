//! A bar chart as SVG: for each operation a bar for each system, as long as its ratio to the first system that
//! has a figure, on a logarithmic scale.

use std::fmt::Write;

/// One operation: its name and a figure for each system that has one.
pub struct Row<'a> {
    /// The operation.
    pub name: &'a str,
    /// In the order of the systems.
    pub figures: Vec<Option<u64>>,
}

const COLOURS: [&str; 4] = ["#8a8f98", "#d08c2f", "#2f6fd0", "#3c9a5f"];
const LEFT: f64 = 190.0;
const WIDTH: f64 = 520.0;
const BAR: f64 = 12.0;
const GAP: f64 = 10.0;

/// The chart.
pub fn svg(heading: &str, systems: &[&str], rows: &[Row<'_>]) -> String {
    let rows: Vec<&Row<'_>> = rows.iter().filter(|row| row.figures.iter().flatten().count() > 0).collect();
    let height_of_row = systems.len() as f64 * BAR + GAP;
    let height = 60.0 + rows.len() as f64 * height_of_row + 20.0;
    let ratios = |row: &Row<'_>| -> Vec<Option<f64>> {
        let base = row.figures.iter().flatten().next().copied().unwrap_or(1).max(1) as f64;
        row.figures.iter().map(|figure| figure.map(|figure| figure.max(1) as f64 / base)).collect()
    };
    let all: Vec<f64> = rows.iter().flat_map(|row| ratios(row).into_iter().flatten()).collect();
    let low = all.iter().copied().fold(1.0f64, f64::min) / 2.0;
    let high = all.iter().copied().fold(1.0f64, f64::max) * 1.1;
    let place = |ratio: f64| WIDTH * (ratio / low).ln() / (high / low).ln();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0}\" height=\"{height:.0}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"20\" font-size=\"14\">{}</text>\n",
        LEFT + WIDTH + 90.0,
        escaped(heading)
    );
    for (number, system) in systems.iter().enumerate() {
        let x = LEFT + number as f64 * 130.0;
        let colour = COLOURS[number % COLOURS.len()];
        let _ = writeln!(text, "<rect x=\"{x:.1}\" y=\"30\" width=\"10\" height=\"10\" fill=\"{colour}\"/>");
        let _ = writeln!(text, "<text x=\"{:.1}\" y=\"39\">{}</text>", x + 14.0, escaped(system));
    }
    let one = LEFT + place(1.0);
    let _ = writeln!(
        text,
        "<line x1=\"{one:.1}\" y1=\"48\" x2=\"{one:.1}\" y2=\"{:.1}\" stroke=\"#999\" stroke-dasharray=\"3 3\"/>",
        height - 10.0
    );
    for (number, row) in rows.iter().enumerate() {
        let top = 56.0 + number as f64 * height_of_row;
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            top + height_of_row / 2.0,
            escaped(row.name)
        );
        for (bar, (ratio, figure)) in ratios(row).into_iter().zip(&row.figures).enumerate() {
            let (Some(ratio), Some(figure)) = (ratio, figure) else { continue };
            let y = top + bar as f64 * BAR;
            let _ = writeln!(
                text,
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\">{} (×{ratio:.2})</text>",
                place(ratio).max(1.0),
                BAR - 2.0,
                COLOURS[bar % COLOURS.len()],
                LEFT + place(ratio).max(1.0) + 4.0,
                y + BAR - 4.0,
                super::thousands(*figure),
            );
        }
    }
    text + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_a_bar_and_rows_without_figures_are_left_out() {
        let rows = [
            Row { name: "a<b", figures: vec![Some(100), Some(250), None] },
            Row { name: "nothing", figures: vec![None, None, None] },
        ];
        let text = svg("cost", &["bare", "Xen", "ours"], &rows);
        assert!(text.contains("a&lt;b") && !text.contains("nothing"), "{text}");
        assert!(text.contains("250 (×2.50)"), "{text}");
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
        // Background, three of the legend, two bars.
        assert_eq!(text.matches("<rect").count(), 6);
    }
}
