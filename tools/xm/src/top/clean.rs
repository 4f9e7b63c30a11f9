//! Text that others wrote, for a terminal. A name comes from the store, and there from whoever made the domain.

use unicode_width::UnicodeWidthChar as _;

/// Which characters the terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// ASCII alone.
    Ascii,
    /// All.
    Unicode,
}

impl Charset {
    /// What the locale says, as POSIX looks for it: the first of these variables that is set and not empty.
    pub fn of_environment(get: impl Fn(&str) -> Option<String>) -> Charset {
        let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| get(name).filter(|value| !value.is_empty()));
        let set = set.unwrap_or_default().to_ascii_lowercase();
        if set.contains("utf-8") || set.contains("utf8") { Charset::Unicode } else { Charset::Ascii }
    }

    /// What stands for a character that is not shown.
    const fn substitute(self) -> char {
        match self {
            Charset::Ascii => '?',
            Charset::Unicode => char::REPLACEMENT_CHARACTER,
        }
    }
}

/// Text that takes exactly the room that its characters have: nothing that steers the terminal or turns the direction of
/// writing, nothing that joins the character before it.
pub fn clean(text: &str, charset: Charset) -> String {
    let shown = |c: char| match charset {
        Charset::Ascii => c == ' ' || c.is_ascii_graphic(),
        // What has no width is a control, a mark that joins, or one that turns the direction.
        Charset::Unicode => c.width().is_some_and(|width| width > 0) && !is_mark(c),
    };
    text.chars().map(|c| if shown(c) { c } else { charset.substitute() }).collect()
}

/// Whether a character is none to look at, though some terminals give it room.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
}

/// Columns that clean text takes.
pub fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The beginning of clean text that fits into so many columns.
pub fn cut(text: &str, most: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > most {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// Clean text at the right of so many columns; longer text stays as long as it is.
pub fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(columns(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_steers_the_terminal() {
        assert_eq!(
            clean("a\x1b[2J\r\n\u{9b}1m\u{7f}b", Charset::Unicode),
            "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}1m\u{fffd}b"
        );
        assert_eq!(clean("a\x1b[2Jb\u{e4}\u{202e}", Charset::Ascii), "a?[2Jb??");
        assert_eq!(
            clean("x\u{202e}y\u{200b}z\u{301}\u{2066}\u{feff}", Charset::Unicode).matches('\u{fffd}').count(),
            5
        );
        assert_eq!(clean("gr\u{fc}n \u{6f22}", Charset::Unicode), "gr\u{fc}n \u{6f22}");
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let shown = clean(&format!("a{c}b"), Charset::Unicode);
            assert!(shown.chars().all(|c| !c.is_control()), "{c:?}");
            assert!((3..=5).contains(&columns(&shown)), "{c:?}");
        }
    }

    #[test]
    fn a_wide_character_is_not_cut_in_two() {
        assert_eq!(cut("\u{6f22}\u{5b57}x", 3), "\u{6f22}");
        assert_eq!(right(cut("\u{6f22}\u{5b57}x", 3), 3), " \u{6f22}");
        assert_eq!((cut("abc", 3), right("abc", 2)), ("abc", "abc".to_owned()));
    }

    #[test]
    fn a_terminal_shows_what_its_locale_says() {
        let of = |set: &'static [(&str, &str)]| {
            Charset::of_environment(|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(of(&[]), Charset::Ascii);
        assert_eq!(of(&[("LANG", "de_DE.UTF-8")]), Charset::Unicode);
        assert_eq!(of(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8"), ("LANG", "C")]), Charset::Unicode);
        assert_eq!(of(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]), Charset::Ascii);
    }
}
