//! What is on the screen, without a screen: snapshots and keys go in, `view` draws what comes of them.

use super::clean::Charset;
use super::columns::COLUMNS;
use super::figures::{Figures, Key, Row};
use super::{Settings, delay};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::time::Duration;
use xenstat::snapshot::Snapshot;

/// The longest text that is taken for a delay.
const LONGEST_DELAY: usize = 8;

/// What a key asks of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// A snapshot, now.
    Ask,
    /// To draw everything anew.
    Redraw,
    /// To stop until the shell goes on with us.
    Suspend,
    /// The end.
    Quit,
}

/// What the keys do at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Commands.
    Table,
    /// They write a delay.
    Delay(String),
    /// Any key leaves the list of keys.
    Help,
}

/// The state.
#[derive(Debug)]
pub struct App {
    /// What was chosen.
    pub settings: Settings,
    /// What is known.
    pub figures: Figures,
    /// Which characters may be drawn.
    pub charset: Charset,
    /// What the keys do.
    pub mode: Mode,
    /// The last key could not be followed.
    pub note: Option<String>,
    /// How many columns behind the names are left out.
    pub left: usize,
    /// The row that is marked, and where it was.
    selected: Option<(Key, usize)>,
    /// The first line that is shown of the table.
    pub first: usize,
    /// How many domains fit on a page, as last drawn.
    pub page: usize,
}

impl App {
    /// Before the first snapshot.
    pub fn new(settings: Settings, charset: Charset) -> App {
        App {
            settings,
            figures: Figures::new(charset),
            charset,
            mode: Mode::Table,
            note: None,
            left: 0,
            selected: None,
            first: 0,
            page: 1,
        }
    }

    /// Takes a snapshot.
    pub fn take(&mut self, snapshot: Snapshot, now: Duration) {
        self.figures.take(snapshot, now);
        // The mark stays on its domain; if that went, on what stands there now.
        if let Some((key, at)) = self.selected {
            let keys = self.keys();
            let now = keys.iter().position(|other| *other == key).unwrap_or(at).min(keys.len().saturating_sub(1));
            self.selected = keys.get(now).map(|key| (*key, now));
        }
    }

    /// Domains, in order.
    pub fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.figures.rows.iter().collect();
        self.settings.sorting.sort(&mut rows);
        rows
    }

    fn keys(&self) -> Vec<Key> {
        self.rows().iter().map(|row| row.key).collect()
    }

    /// The domain that is marked.
    pub fn selected(&self) -> Option<Key> {
        self.selected.map(|(key, _)| key)
    }

    /// Takes a key.
    pub fn key(&mut self, event: KeyEvent) -> Action {
        if event.kind == KeyEventKind::Release {
            return Action::None;
        }
        self.note = None;
        if event.modifiers.contains(KeyModifiers::CONTROL) {
            return match event.code {
                KeyCode::Char('c') => Action::Quit,
                KeyCode::Char('z') => Action::Suspend,
                KeyCode::Char('l') => Action::Redraw,
                _ => Action::None,
            };
        }
        match &mut self.mode {
            Mode::Table => self.command(event.code),
            Mode::Help => {
                self.mode = Mode::Table;
                Action::None
            }
            Mode::Delay(text) => {
                match event.code {
                    KeyCode::Char(c) if text.len() < LONGEST_DELAY && (c.is_ascii_digit() || c == '.') => text.push(c),
                    KeyCode::Backspace => {
                        text.pop();
                    }
                    KeyCode::Esc => self.mode = Mode::Table,
                    KeyCode::Enter => {
                        match delay(text) {
                            Ok(delay) => self.settings.delay = delay,
                            Err(why) if !text.is_empty() => self.note = Some(why),
                            Err(_) => {}
                        }
                        self.mode = Mode::Table;
                    }
                    _ => {}
                }
                Action::None
            }
        }
    }

    fn command(&mut self, code: KeyCode) -> Action {
        let settings = &mut self.settings;
        let code = match code {
            KeyCode::Char(c) => KeyCode::Char(c.to_ascii_lowercase()),
            other => other,
        };
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Action::Quit,
            KeyCode::Char(' ') | KeyCode::Enter => return Action::Ask,
            KeyCode::Char('d') => self.mode = Mode::Delay(String::new()),
            KeyCode::Char('?') | KeyCode::F(1) => self.mode = Mode::Help,
            KeyCode::Char('n') => settings.details.networks ^= true,
            KeyCode::Char('b') => settings.details.disks ^= true,
            KeyCode::Char('v') => settings.details.vcpus ^= true,
            KeyCode::Char('r') => settings.repeat_header ^= true,
            KeyCode::Char('f') => settings.full_name ^= true,
            KeyCode::Char('h') => settings.history ^= true,
            KeyCode::Char('z') => settings.sorting.dom0_first ^= true,
            KeyCode::Char('i') => settings.sorting.reverse ^= true,
            KeyCode::Char('s' | '>') => settings.sorting.by = (settings.sorting.by + 1) % COLUMNS.len(),
            KeyCode::Char('<') => settings.sorting.by = (settings.sorting.by + COLUMNS.len() - 1) % COLUMNS.len(),
            KeyCode::Down => self.step(1),
            KeyCode::Up => self.step(-1),
            KeyCode::PageDown => self.step(isize::try_from(self.page).unwrap_or(1)),
            KeyCode::PageUp => self.step(-isize::try_from(self.page).unwrap_or(1)),
            KeyCode::End => self.step(isize::MAX),
            KeyCode::Home => {
                self.selected = None;
                self.first = 0;
            }
            KeyCode::Right => self.left = (self.left + 1).min(COLUMNS.len() - 2),
            KeyCode::Left => self.left = self.left.saturating_sub(1),
            _ => {}
        }
        Action::None
    }

    /// Moves the mark.
    fn step(&mut self, by: isize) {
        let keys = self.keys();
        let at = self.selected.and_then(|(key, _)| keys.iter().position(|other| *other == key));
        // The first step marks the first row.
        let to =
            at.map_or(if by == 1 { 0 } else { by.max(0) }, |at| isize::try_from(at).unwrap_or(0).saturating_add(by));
        let to = usize::try_from(to).unwrap_or(0).min(keys.len().saturating_sub(1));
        self.selected = keys.get(to).map(|key| (*key, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::figures::tests::{machine, ran};
    use xenstat::collect::collect;

    fn press(app: &mut App, code: KeyCode) -> Action {
        app.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn with(domains: &[u16]) -> App {
        let mut app = App::new(Settings::default(), Charset::Ascii);
        see(&mut app, domains, 1);
        app
    }

    fn see(app: &mut App, domains: &[u16], second: u64) {
        let domains = domains.iter().map(|domid| ran(*domid, 1000 * u64::from(*domid) * second)).collect();
        app.take(collect(&mut machine(domains, "guest")), Duration::from_secs(second));
    }

    fn marked(app: &App) -> Option<u16> {
        app.selected().map(|key| key.0)
    }

    #[test]
    fn keys_are_those_of_xentop_in_both_cases() {
        for (key, changed) in [
            ('n', (|s: &Settings| s.details.networks) as fn(&Settings) -> bool),
            ('b', |s| s.details.disks),
            ('v', |s| s.details.vcpus),
            ('r', |s| s.repeat_header),
            ('f', |s| s.full_name),
            ('z', |s| s.sorting.dom0_first),
            ('i', |s| s.sorting.reverse),
        ] {
            let mut app = with(&[0]);
            assert_eq!(press(&mut app, KeyCode::Char(key)), Action::None);
            assert!(changed(&app.settings), "{key}");
            press(&mut app, KeyCode::Char(key.to_ascii_uppercase()));
            assert!(!changed(&app.settings), "{key}");
        }
        let mut app = with(&[0]);
        for (code, action) in
            [(KeyCode::Char('Q'), Action::Quit), (KeyCode::Esc, Action::Quit), (KeyCode::Enter, Action::Ask)]
        {
            assert_eq!(press(&mut app, code), action);
        }
        let held = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
        assert_eq!(
            ['c', 'z', 'l', 'n'].map(|c| app.key(held(c))),
            [Action::Quit, Action::Suspend, Action::Redraw, Action::None]
        );
        assert!(!app.settings.details.networks);
    }

    #[test]
    fn a_delay_is_typed() {
        let mut app = with(&[0]);
        let write = |app: &mut App, text: &str| {
            press(app, KeyCode::Char('d'));
            text.chars().for_each(|c| assert_eq!(press(app, KeyCode::Char(c)), Action::None));
            press(app, KeyCode::Enter);
        };
        write(&mut app, "1q2.5");
        assert_eq!((app.settings.delay, &app.mode), (Duration::from_millis(12500), &Mode::Table));
        write(&mut app, "0");
        assert!(app.note.as_ref().is_some_and(|note| note.contains("0.1")), "{:?}", app.note);
        write(&mut app, "");
        assert_eq!((app.settings.delay, &app.note), (Duration::from_millis(12500), &None));
        press(&mut app, KeyCode::Char('d'));
        press(&mut app, KeyCode::Char('7'));
        press(&mut app, KeyCode::Backspace);
        assert_eq!(app.mode, Mode::Delay(String::new()));
        assert_eq!((press(&mut app, KeyCode::Esc), app.settings.delay), (Action::None, Duration::from_millis(12500)));
    }

    #[test]
    fn every_column_is_sorted_by_in_turn() {
        let mut app = with(&[0, 3]);
        for at in 1..=COLUMNS.len() {
            press(&mut app, KeyCode::Char('s'));
            assert_eq!(app.settings.sorting.by, at % COLUMNS.len());
        }
        press(&mut app, KeyCode::Char('<'));
        assert_eq!(app.settings.sorting.by, COLUMNS.len() - 1);
    }

    #[test]
    fn the_mark_stays_on_its_domain_and_moves_when_that_goes() {
        let mut app = with(&[0, 3, 4, 5]);
        assert_eq!(marked(&app), None);
        press(&mut app, KeyCode::Down);
        assert_eq!(marked(&app), Some(0));
        press(&mut app, KeyCode::Down);
        press(&mut app, KeyCode::Down);
        assert_eq!(marked(&app), Some(4));
        see(&mut app, &[0, 4, 5], 2);
        assert_eq!(marked(&app), Some(4));
        see(&mut app, &[0, 5], 3);
        assert_eq!(marked(&app), Some(5));
        see(&mut app, &[0], 4);
        assert_eq!(marked(&app), Some(0));
        see(&mut app, &[], 5);
        assert_eq!(marked(&app), None);
        for code in [KeyCode::Down, KeyCode::Up, KeyCode::PageDown, KeyCode::PageUp, KeyCode::End, KeyCode::Home] {
            press(&mut app, code);
            assert_eq!(marked(&app), None);
        }
        see(&mut app, &[0, 3], 6);
        press(&mut app, KeyCode::End);
        assert_eq!(marked(&app), Some(3));
        press(&mut app, KeyCode::Home);
        assert_eq!(marked(&app), None);
    }
}
