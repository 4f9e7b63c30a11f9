//! The syntax of xl.cfg: `NAME = VALUE`, a line or a `;` each. A value is a string, a number or a list of strings, and, as the
//! Python files of old `xm` have it, strings side by side or joined with `+`, and names that were set before.

use std::collections::BTreeMap;
use std::fmt;

/// Where something stands: line and column, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct At {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A number.
    Number(i64),
    /// A list.
    List(Vec<Value>),
}

/// A setting with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Where the name stands.
    pub at: At,
    /// Where the value begins.
    pub value_at: At,
    /// The value.
    pub value: Value,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub at: At,
    /// What.
    pub what: String,
}

/// Lists in lists, at most.
const MOST_DEEP: u32 = 8;
/// Bytes and items that names may stand for, all in all: `a = a + a` doubles.
const MOST_COPIED: usize = 1 << 20;

impl Value {
    /// Lists in lists: none has 0.
    fn depth(&self) -> u32 {
        match self {
            Value::List(list) => 1 + list.iter().map(Value::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Bytes and items.
    fn size(&self) -> usize {
        match self {
            Value::Text(text) => 1 + text.len(),
            Value::Number(_) => 1,
            Value::List(list) => 1 + list.iter().map(Value::size).sum::<usize>(),
        }
    }
}

/// All settings of a text, the last of each name; and what was left out of it.
pub fn parse(text: &str) -> Result<(BTreeMap<String, Setting>, Vec<SyntaxError>), SyntaxError> {
    let at = At { line: 1, column: 1 };
    let mut parser = Parser { rest: text, at, settings: BTreeMap::new(), depth: 0, copied: 0 };
    let mut ignored = Vec::new();
    loop {
        parser.blank(true);
        if parser.rest.is_empty() {
            return Ok((parser.settings, ignored));
        }
        if parser.take_if(|c| c == ';').is_some() {
            continue;
        }
        let at = parser.at;
        let name = parser.name().ok_or_else(|| parser.unexpected("a name (NAME = VALUE)"))?;
        if matches!(name.as_str(), "import" | "from") {
            // What Python files begin with; none of the names that they bring is needed.
            parser.line();
            ignored.push(SyntaxError { at, what: format!("\"{name}\" is Python and is left out") });
            continue;
        }
        parser.blank(false);
        if parser.take_if(|c| c == '=').is_none() {
            return Err(parser.unexpected(&format!("\"=\" after {name}")));
        }
        parser.blank(false);
        let value_at = parser.at;
        let value = parser.value()?;
        parser.blank(false);
        if !(parser.rest.is_empty() || parser.rest.starts_with(['\n', ';'])) {
            return Err(parser.unexpected("the end of the line"));
        }
        parser.settings.insert(name, Setting { at, value_at, value });
    }
}

struct Parser<'a> {
    rest: &'a str,
    at: At,
    settings: BTreeMap<String, Setting>,
    /// Lists that are open.
    depth: u32,
    /// What names stood for so far.
    copied: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        if c == '\n' {
            self.at = At { line: self.at.line.saturating_add(1), column: 1 };
        } else {
            self.at.column = self.at.column.saturating_add(1);
        }
        Some(c)
    }

    fn take_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        if self.peek().is_some_and(wanted) { self.next() } else { None }
    }

    fn unexpected(&self, wanted: &str) -> SyntaxError {
        let found = match self.peek() {
            None => "the end of the file".to_owned(),
            Some('\n') => "the end of the line".to_owned(),
            Some(c) => format!("\"{c}\""),
        };
        SyntaxError { at: self.at, what: format!("{wanted} is expected, not {found}") }
    }

    /// Blanks and comments; line ends too if `lines`.
    fn blank(&mut self, lines: bool) {
        loop {
            match self.peek() {
                Some('\n') if !lines => return,
                Some('#') => self.line(),
                Some('\\') if self.rest.starts_with("\\\n") || self.rest.starts_with("\\\r\n") => self.line_end(),
                Some(c) if c.is_whitespace() => {
                    self.next();
                }
                _ => return,
            }
        }
    }

    fn line(&mut self) {
        while self.take_if(|c| c != '\n').is_some() {}
    }

    fn line_end(&mut self) {
        self.line();
        self.next();
    }

    fn name(&mut self) -> Option<String> {
        let mut name = String::from(self.take_if(|c| c.is_ascii_alphabetic() || c == '_')?);
        while let Some(c) = self.take_if(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            name.push(c);
        }
        Some(name)
    }

    /// Terms joined by `+` or by standing side by side.
    fn value(&mut self) -> Result<Value, SyntaxError> {
        let mut value = self.term()?;
        loop {
            self.blank(false);
            let plus = self.take_if(|c| c == '+').is_some();
            if plus {
                self.blank(false);
            } else if !(matches!(value, Value::Text(_)) && matches!(self.peek(), Some('"' | '\''))) {
                return Ok(value);
            }
            let at = self.at;
            value = match (value, self.term()?) {
                (Value::Text(a), Value::Text(b)) => Value::Text(a + &b),
                (Value::List(a), Value::List(b)) => Value::List([a, b].concat()),
                (Value::Number(a), Value::Number(b)) => Value::Number(a.saturating_add(b)),
                _ => return Err(SyntaxError { at, what: "only values of one kind can be joined".to_owned() }),
            };
        }
    }

    fn term(&mut self) -> Result<Value, SyntaxError> {
        match self.peek() {
            Some('"' | '\'') => self.string().map(Value::Text),
            Some('[') => self.list(),
            Some(c) if c.is_ascii_digit() || c == '-' => self.number(),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let at = self.at;
                let name = self.name().unwrap_or_default();
                match (name.as_str(), self.settings.get(&name)) {
                    (_, Some(known)) => {
                        self.copied = self.copied.saturating_add(known.value.size());
                        if self.copied > MOST_COPIED {
                            return Err(SyntaxError { at, what: "names stand for more than 1 MiB".to_owned() });
                        }
                        Ok(known.value.clone())
                    }
                    ("True" | "true", None) => Ok(Value::Number(1)),
                    ("False" | "false" | "None", None) => Ok(Value::Number(0)),
                    _ => Err(SyntaxError { at, what: format!("\"{name}\" is no value: a string wants quotes") }),
                }
            }
            _ => Err(self.unexpected("a value (a string in quotes, a number, a list in brackets)")),
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let begin = self.at;
        let Some(quote) = self.next() else { return Err(self.unexpected("a string")) };
        let triple: String = [quote; 3].iter().collect();
        let long = self.rest.starts_with(triple.get(1..).unwrap_or_default());
        if long {
            self.next();
            self.next();
        }
        let mut text = String::new();
        loop {
            if long && self.rest.starts_with(&triple) {
                for _ in 0..3 {
                    self.next();
                }
                return Ok(text);
            }
            match self.next() {
                Some(c) if c == quote && !long => return Ok(text),
                Some('\\') => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('\n') => {}
                    Some(c) => text.push(c),
                    None => {}
                },
                Some('\n') if !long => {
                    return Err(SyntaxError { at: begin, what: "the string does not end on its line".to_owned() });
                }
                Some(c) => text.push(c),
                None => return Err(SyntaxError { at: begin, what: "the string does not end".to_owned() }),
            }
        }
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let at = self.at;
        let mut text = String::new();
        while let Some(c) = self.take_if(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.') {
            text.push(c);
        }
        number(&text).map(Value::Number).ok_or_else(|| SyntaxError { at, what: format!("{text} is no number") })
    }

    fn list(&mut self) -> Result<Value, SyntaxError> {
        let begin = self.at;
        let too_deep = || SyntaxError { at: begin, what: format!("lists in lists are {MOST_DEEP} deep at most") };
        self.depth = self.depth.saturating_add(1);
        if self.depth > MOST_DEEP {
            return Err(too_deep());
        }
        self.next();
        let mut list = Vec::new();
        loop {
            self.blank(true);
            if self.take_if(|c| c == ']').is_some() {
                self.depth = self.depth.saturating_sub(1);
                return Ok(Value::List(list));
            }
            if self.rest.is_empty() {
                return Err(SyntaxError { at: begin, what: "the list does not end".to_owned() });
            }
            let value = self.value()?;
            if value.depth() >= MOST_DEEP {
                return Err(too_deep());
            }
            list.push(value);
            self.blank(true);
            if self.take_if(|c| c == ',').is_none() && self.peek() != Some(']') {
                return Err(self.unexpected("\",\" or \"]\""));
            }
        }
    }
}

/// A number: decimal, `0x` hexadecimal, `0` octal.
pub fn number(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        i64::from_str_radix(hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    value.ok().map(|value| if negative { value.saturating_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        parse(&format!("a = {text}")).unwrap().0.remove("a").unwrap().value
    }

    fn error(text: &str) -> String {
        let error = parse(text).unwrap_err();
        format!("{}: {}", error.at, error.what)
    }

    #[test]
    fn strings_numbers_and_lists_are_read() {
        assert_eq!(value("\"it's\""), Value::Text("it's".into()));
        assert_eq!(value("'say \\'x\\''  # a comment"), Value::Text("say 'x'".into()));
        assert_eq!([value("128"), value("0x10"), value("010")], [128, 16, 8].map(Value::Number));
        let list = Value::List(vec![Value::Text("a".into()), Value::Text("b".into())]);
        assert_eq!(value("[ 'a', # first\n  \"b\",\n ]"), list);
        assert_eq!(value("[]"), Value::List(Vec::new()));
    }

    #[test]
    fn what_old_python_files_contain_is_read() {
        let text =
            "import os, re\nbase = '/srv/'\nkernel = base + \"vm\" 'linuz'; memory=64\nextra = '''two\nlines'''\n";
        let (settings, ignored) = parse(text).unwrap();
        assert_eq!(settings["kernel"].value, Value::Text("/srv/vmlinuz".into()));
        assert_eq!(settings["memory"].value, Value::Number(64));
        assert_eq!(settings["extra"].value, Value::Text("two\nlines".into()));
        assert_eq!((ignored.len(), ignored[0].at.line), (1, 1));
    }

    #[test]
    fn an_error_says_line_column_and_what_was_expected() {
        assert_eq!(error("a = 1\nb 2"), "2:3: \"=\" after b is expected, not \"2\"");
        assert_eq!(error("a = 'x"), "1:5: the string does not end");
        assert_eq!(error("a = 'x\n'"), "1:5: the string does not end on its line");
        assert_eq!(error("a = [ 'x' 1 ]"), "1:11: \",\" or \"]\" is expected, not \"1\"");
        assert_eq!(error("a = hello"), "1:5: \"hello\" is no value: a string wants quotes");
        assert_eq!(error("a = 1 2"), "1:7: the end of the line is expected, not \"2\"");
        assert_eq!(error("a = 12q"), "1:5: 12q is no number");
        assert_eq!(
            error("a ="),
            "1:4: a value (a string in quotes, a number, a list in brackets) is expected, not the end of the file"
        );
        assert_eq!(error("a = [ 'x'"), "1:10: \",\" or \"]\" is expected, not the end of the file");
        assert_eq!(error("= 1"), "1:1: a name (NAME = VALUE) is expected, not \"=\"");
    }

    /// A stack of brackets was a stack of calls.
    #[test]
    fn lists_are_not_nested_without_end() {
        assert!(parse(&format!("a = {}1{}", "[".repeat(8), "]".repeat(8))).is_ok());
        assert_eq!(error(&format!("a = {}", "[".repeat(100_000))), "1:13: lists in lists are 8 deep at most");
        let by_name = format!("a = []\n{}", "a = [a]\n".repeat(100));
        assert_eq!(error(&by_name), "9:5: lists in lists are 8 deep at most");
    }

    /// Thirty lines would have filled any memory.
    #[test]
    fn a_value_does_not_double_without_end() {
        let text = |lines| format!("a = 'ha'\n{}", "a = a + a\n".repeat(lines));
        assert!(parse(&text(10)).is_ok());
        assert_eq!(error(&text(60)), "19:9: names stand for more than 1 MiB");
        let lists = format!("a = []\nb = [1]\n{}", "b = b + b\n".repeat(60));
        assert!(error(&lists).ends_with("names stand for more than 1 MiB"));
    }

    #[test]
    fn the_last_setting_of_a_name_counts() {
        assert_eq!(parse("a=1\na=2").unwrap().0["a"].value, Value::Number(2));
    }
}
