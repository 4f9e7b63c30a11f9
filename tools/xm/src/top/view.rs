//! Draws the state, on terminals of any size.

use super::app::{App, Mode};
use super::batch::name_width;
use super::clean::{Charset, clean, columns, cut, right};
use super::columns::{COLUMNS, LOAD, cell, width};
use super::figures::Row;
use ratatui::Frame;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// Bars that are drawn of a domain, where there is room.
const BARS: usize = 20;
/// From which width on.
const ROOM_FOR_BARS: usize = 70;

/// The last line.
const KEYS: &str = "Delay  Networks  vBds  Vcpus  Repeat header  Sort order  Invert  History  Full name  ?  Quit";
/// The list of keys.
const HELP: &[&str] = &[
    "Delay (seconds), space: ask now",
    "Networks, vBds, Vcpus: show or hide them",
    "S or >, <: sort by another column",
    "Invert the order, Z: domain 0 first",
    "Repeat header, Full name, History",
    "Up, Down, PgUp, PgDn, End: a domain; Home: none",
    "Left, Right: columns",
    "Q, Esc: quit; ^Z: suspend; ^L: draw anew",
];

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, app: &mut App) {
    let area = frame.area();
    let lines = lines(app, usize::from(area.width), usize::from(area.height));
    let buffer = frame.buffer_mut();
    for (y, line) in (area.y..area.bottom()).zip(&lines) {
        buffer.set_line(area.x, y, line, area.width);
    }
}

/// The screen, line by line.
pub fn lines(app: &mut App, width: usize, height: usize) -> Vec<Line<'static>> {
    let mut top: Vec<Line<'static>> = Vec::new();
    let mut bottom: Vec<Line<'static>> = Vec::new();
    // What matters less goes first as there is less room.
    let summary = summary(app);
    let room = match height {
        8.. => summary.len(),
        4.. => 1,
        _ => 0,
    };
    top.extend(summary.into_iter().take(room).map(Line::from));
    let bad = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
    let warning = app.note.clone().or_else(|| app.figures.problem.clone()).map(|text| Line::styled(text, bad));
    let plain = |text: &str| Line::styled(cut(text, width).to_owned(), Style::new().add_modifier(Modifier::DIM));
    match (&app.mode, warning) {
        (Mode::Delay(text), _) if height >= 2 => bottom.push(Line::from(format!("Delay(sec): {text}_"))),
        (_, Some(warning)) if height >= 6 => bottom.extend([warning, plain(KEYS)]),
        (_, Some(warning)) if height >= 3 => bottom.push(warning),
        (_, None) if height >= 4 => bottom.push(plain(KEYS)),
        _ => {}
    }
    let room = height.saturating_sub(top.len() + bottom.len());
    let mut body = if app.mode == Mode::Help {
        HELP.iter().take(room).map(|text| Line::from(*text)).collect()
    } else {
        table(app, width, room)
    };
    body.resize(room, Line::default());
    top.into_iter().chain(body).chain(bottom).take(height).collect()
}

fn summary(app: &App) -> Vec<String> {
    let (host, census) = (&app.figures.host, app.figures.census);
    let mut title = "xm top".to_owned();
    if !host.version.is_empty() {
        title.push_str(&format!(" - Xen {}", clean(&host.version, app.charset)));
    }
    if let Some(up) = host.uptime {
        let seconds = up / 1_000_000_000;
        let (days, rest) = (seconds / 86400, seconds % 86400);
        title.push_str(&format!(" - up {days}d {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60));
    }
    let [running, blocked, paused, crashed, dying, shut] = census.states;
    let kib = |bytes: u64| bytes / 1024;
    vec![
        title,
        format!(
            "{} domains: {running} running, {blocked} blocked, {paused} paused, {crashed} crashed, {dying} dying, {shut} shutdown",
            census.all
        ),
        format!(
            "Mem: {}k total, {}k used, {}k free    CPUs: {} @ {}MHz",
            kib(host.memory),
            kib(host.memory.saturating_sub(host.free_memory)),
            kib(host.free_memory),
            host.cpus,
            host.cpu_hertz / 1_000_000
        ),
    ]
}

/// The columns that are shown, with a domain's bars behind its load.
struct Shown {
    name_width: usize,
    left: usize,
    bars: usize,
}

impl Shown {
    fn numbers(&self) -> impl Iterator<Item = usize> {
        let left = self.left;
        (0..COLUMNS.len()).filter(move |at| *at == 0 || *at > left)
    }

    /// Columns of the terminal that are left out.
    fn hidden(&self) -> usize {
        (1..=self.left).filter_map(|at| COLUMNS.get(at)).map(|column| column.width + 1).sum()
    }
}

fn table(app: &mut App, width: usize, height: usize) -> Vec<Line<'static>> {
    // A long name leaves room for others.
    let names = name_width(&app.settings, &app.figures.rows).min((width / 2).max(super::NAME_WIDTH)).min(width);
    let bars = if app.settings.history && width >= ROOM_FOR_BARS { BARS } else { 0 };
    let shown = Shown { name_width: names, left: app.left, bars };
    let header = header(app, &shown);
    let rows = app.rows();
    // The lines of each domain.
    let mut all: Vec<Line<'static>> = Vec::new();
    let mut marked = None;
    for (at, row) in rows.iter().enumerate() {
        let start = all.len();
        if at > 0 && app.settings.repeat_header {
            all.push(header.clone());
        }
        let is_marked = app.selected() == Some(row.key);
        all.push(domain(app, row, &shown, is_marked));
        let details = app.settings.details.lines(row).into_iter();
        all.extend(details.map(|text| Line::from(text.chars().skip(shown.hidden()).collect::<String>())));
        if is_marked {
            marked = Some((start, all.len()));
        }
    }
    if rows.is_empty() {
        all.push(Line::from("no domains yet"));
    }
    let room = height.saturating_sub(1);
    let per_domain = all.len().div_ceil(rows.len().max(1)).max(1);
    app.page = (room / per_domain).max(1);
    // Scroll no further than needed to show the mark, from its end to its beginning.
    let mut first = app.first.min(all.len().saturating_sub(room));
    if let Some((start, end)) = marked {
        first = first.max(end.saturating_sub(room)).min(start);
    }
    app.first = first;
    let header = (height > 0).then_some(header);
    header.into_iter().chain(all.into_iter().skip(first).take(room)).collect()
}

fn header(app: &App, shown: &Shown) -> Line<'static> {
    let style = Style::new().add_modifier(Modifier::REVERSED);
    let mut spans = Vec::new();
    for at in shown.numbers() {
        let Some(column) = COLUMNS.get(at) else { continue };
        let title = right(column.title, width(column, shown.name_width));
        // The column that is sorted by stands out.
        let sorted = at == app.settings.sorting.by;
        let title_style = if sorted { Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED) } else { style };
        spans.extend([Span::styled(title, title_style), Span::styled(" ", style)]);
        if at == LOAD && shown.bars > 0 {
            spans.push(Span::styled(format!("{:<width$} ", "HISTORY", width = shown.bars), style));
        }
    }
    Line::from(spans)
}

fn domain(app: &App, row: &Row, shown: &Shown, marked: bool) -> Line<'static> {
    let base = if marked { Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED) } else { Style::new() };
    let mut spans = Vec::new();
    for at in shown.numbers() {
        let Some(column) = COLUMNS.get(at) else { continue };
        let mut style = base;
        if column.title == "STATE" && !marked {
            style = style.fg(match () {
                () if row.state.contains(['c', 'd']) => Color::Red,
                () if row.state.contains(['p', 's']) => Color::Yellow,
                () if row.state.contains('r') => Color::Green,
                () => Color::Reset,
            });
        }
        spans.extend([Span::styled(cell(column, row, shown.name_width), style), Span::styled(" ", base)]);
        if at == LOAD && shown.bars > 0 {
            let style = if marked { base } else { base.fg(Color::Cyan) };
            spans.push(Span::styled(bars(app.figures.loads(&row.key), shown.bars, app.charset), style));
            spans.push(Span::styled(" ", base));
        }
    }
    Line::from(spans)
}

/// The last loads, the newest at the right.
fn bars(loads: impl DoubleEndedIterator<Item = f64>, most: usize, charset: Charset) -> String {
    let levels: [char; 8] = match charset {
        Charset::Unicode => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
        Charset::Ascii => ['_', '.', ':', '-', '=', '+', '*', '#'],
    };
    let bar = |load: f64| {
        let at = (load * 8.0).ceil() as usize;
        levels.get(at.saturating_sub(1)).copied().unwrap_or('#')
    };
    let mut newest_first: Vec<char> = loads.rev().take(most).map(bar).collect();
    newest_first.reverse();
    let text: String = newest_first.into_iter().collect();
    format!("{}{text}", " ".repeat(most.saturating_sub(columns(&text))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::Settings;
    use crate::top::figures::tests::{machine, ran};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use std::time::Duration;
    use xenstat::collect::collect;
    use xenstat::fake::Fake;

    fn press(app: &mut App, code: KeyCode) {
        app.key(KeyEvent::new(code, KeyModifiers::NONE));
    }

    fn see(app: &mut App, second: u64, name: &str) {
        let domains = [0, 3, 4, 5, 6, 7].map(|domid| ran(domid, second * 150 * u64::from(domid)));
        app.take(collect(&mut machine(domains.to_vec(), name)), Duration::from_secs(second));
    }

    fn app(charset: Charset, name: &str) -> App {
        let mut app = App::new(Settings::default(), charset);
        (1..30).for_each(|second| see(&mut app, second, name));
        app
    }

    fn screen(app: &mut App, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, app)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let mut lines = Vec::new();
        for row in buffer.content.chunks(usize::from(width)) {
            // What stands behind a wide character is no cell of its own.
            let (mut line, mut skip) = (String::new(), 0);
            for cell in row {
                if skip == 0 {
                    line.push_str(cell.symbol());
                    skip = columns(cell.symbol()).max(1);
                }
                skip -= 1;
            }
            lines.push(line.trim_end().to_owned());
        }
        lines
    }

    #[test]
    fn a_usual_screen_shows_everything() {
        let mut app = app(Charset::Unicode, "guest");
        let lines = screen(&mut app, 220, 12);
        assert_eq!(lines[0], "xm top - Xen 4.17.5 - up 0d 01:00:00");
        assert_eq!(lines[1], "6 domains: 1 running, 5 blocked, 0 paused, 0 crashed, 0 dying, 0 shutdown");
        assert_eq!(lines[2], "Mem: 4194304k total, 3145728k used, 1048576k free    CPUs: 2 @ 2400MHz");
        let history = " ".repeat(21 - "HISTORY".len());
        assert!(
            lines[3].starts_with(&format!("      NAME  STATE   CPU(sec) CPU(%) HISTORY{history}    MEM(k)")),
            "{}",
            lines[3]
        );
        assert!(lines[3].ends_with("VBD_WSECT SSID"), "{}", lines[3]);
        assert!(lines[4].starts_with("    (null) -----r          0    0.0 ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁ "), "{}", lines[4]);
        assert!(lines[5].starts_with("     guest --b---         13   45.0 ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄ "), "{}", lines[5]);
        assert!(lines[9].starts_with("     guest --b---         30  105.0 ████████████████████ "), "{}", lines[9]);
        assert!(lines[11].starts_with("Delay  Networks"), "{}", lines[11]);
    }

    #[test]
    fn every_size_can_be_drawn_in_every_state() {
        let hostile = "\u{6f22}\u{1b}[2J\u{5b57}\u{202e}\u{6f22}\u{6f22}\u{6f22}\u{6f22}";
        let mut app = app(Charset::Unicode, hostile);
        for keys in ["", "nbvrf", "z", "?", "d1"] {
            keys.chars().for_each(|c| press(&mut app, KeyCode::Char(c)));
            for broken in [&[][..], &["names"]] {
                let domains = [0, 3, 4].map(|domid| ran(domid, 100_000)).to_vec();
                app.take(collect(&mut Fake { broken, ..machine(domains, hostile) }), Duration::from_secs(100));
                for (width, height) in
                    [(1, 1), (2, 2), (20, 5), (7, 3), (80, 24), (300, 100), (5, 40), (200, 2), (33, 6)]
                {
                    for code in [KeyCode::Down, KeyCode::Right, KeyCode::End] {
                        if app.mode == Mode::Table {
                            press(&mut app, code);
                        }
                        let lines = screen(&mut app, width, height);
                        assert_eq!(lines.len(), usize::from(height));
                        assert!(lines.iter().all(|line| !line.contains(['\u{1b}', '\u{202e}'])), "{lines:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_small_terminal_has_title_header_domains_and_the_line_that_matters() {
        let mut app = app(Charset::Ascii, "guest");
        let lines = screen(&mut app, 20, 5);
        assert_eq!(
            lines,
            [
                "xm top - Xen 4.17.5",
                "      NAME  STATE",
                "    (null) -----r",
                "     guest --b---",
                "Delay  Networks  vBd"
            ]
        );
        app.take(collect(&mut Fake { broken: &["names"], ..machine(vec![ran(0, 9)], "") }), Duration::from_secs(60));
        let lines = screen(&mut app, 20, 5);
        assert_eq!(lines[4], "xenstored does not a");
        assert_eq!(lines[2], "    (null) -----r");
        see(&mut app, 61, "guest");
        assert!(screen(&mut app, 80, 24)[23].starts_with("Delay"));
    }

    #[test]
    fn the_mark_is_always_to_be_seen() {
        let mut app = app(Charset::Ascii, "guest");
        let times = |app: &mut App| -> Vec<String> {
            let lines = screen(app, 40, 7);
            lines[2..6].iter().map(|line| line.split_whitespace().nth(2).unwrap_or("").to_owned()).collect()
        };
        assert_eq!(times(&mut app), ["0", "13", "17", "21"]);
        press(&mut app, KeyCode::End);
        assert_eq!(times(&mut app), ["17", "21", "26", "30"]);
        press(&mut app, KeyCode::Up);
        assert_eq!(times(&mut app), ["17", "21", "26", "30"], "it is there already");
        (0..4).for_each(|_| press(&mut app, KeyCode::Up));
        assert_eq!(times(&mut app), ["0", "13", "17", "21"]);
        press(&mut app, KeyCode::Char('v'));
        press(&mut app, KeyCode::End);
        let lines = screen(&mut app, 40, 7);
        assert!(lines[4].contains("  30") && lines[5].starts_with("VCPUs(sec):   0:"), "{lines:?}");
    }

    #[test]
    fn columns_are_scrolled_beside_the_names() {
        let mut app = app(Charset::Ascii, "guest");
        (0..4).for_each(|_| press(&mut app, KeyCode::Right));
        let lines = screen(&mut app, 60, 9);
        assert!(lines[3].starts_with("      NAME MEM(%)  MAXMEM(k)"), "{}", lines[3]);
        assert!(lines[4].starts_with("    (null)    0.0   no limit"), "{}", lines[4]);
        (0..99).for_each(|_| press(&mut app, KeyCode::Right));
        assert_eq!(screen(&mut app, 60, 9)[3], "      NAME SSID");
    }

    #[test]
    fn ascii_terminals_get_ascii() {
        let mut app = app(Charset::Ascii, "gr\u{fc}n\u{6f22}");
        press(&mut app, KeyCode::Char('n'));
        let lines = screen(&mut app, 200, 30);
        assert!(lines.iter().all(|line| line.is_ascii()), "{lines:?}");
        assert!(lines[5].contains("gr?n?") && lines[5].contains("--------"), "{}", lines[5]);
        assert!(lines.iter().any(|line| line.starts_with("Net0 RX:     2000bytes")), "{lines:?}");
    }
}
