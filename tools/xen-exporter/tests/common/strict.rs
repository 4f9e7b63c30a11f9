//! Reads both text formats, and fails at everything that a scraper could.

use std::collections::{BTreeMap, BTreeSet};
use xen_exporter::encode::Format;

/// Samples by their name and labels.
pub type Samples = BTreeMap<String, f64>;

fn is_name(name: &str, colons: bool) -> bool {
    let mut bytes = name.bytes();
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || colons && byte == b':';
    bytes.next().is_some_and(first) && bytes.all(|byte| first(byte) || byte.is_ascii_digit())
}

/// Labels up to the closing brace, and what stands behind it.
fn labels(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut all = BTreeMap::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return (all, after);
        }
        let (name, after) = rest.split_once("=\"").expect("a label has a value in quotes");
        assert!(is_name(name, false), "label {name:?}");
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().expect("a value ends") {
                (at, '"') => break at,
                (_, '\\') => match chars.next().expect("an escape is complete").1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    c => panic!("escape {c:?}"),
                },
                (_, c) => value.push(c),
            }
        };
        assert!(all.insert(name.to_owned(), value).is_none(), "label {name} twice");
        rest = &after[end + 1..];
        rest = match rest.strip_prefix(',') {
            Some(next) => {
                assert!(!next.starts_with('}'), "a comma before the end");
                next
            }
            None => {
                assert!(rest.starts_with('}'), "{rest:?}");
                rest
            }
        };
    }
}

/// Reads a scrape.
pub fn read(text: &str, format: Format) -> Samples {
    let mut samples = Samples::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind, mut helped) = (String::new(), String::new(), String::new());
    assert!(text.ends_with('\n'), "the last line ends");
    let mut lines = text.lines();
    if format == Format::OpenMetrics {
        assert_eq!(lines.next_back(), Some("# EOF"));
    }
    for line in lines {
        assert!(!line.is_empty() && line.trim() == line, "{line:?}");
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (word, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            assert!(is_name(name, true), "{name}");
            match word {
                "HELP" => {
                    assert!(!rest.is_empty());
                    helped = name.to_owned();
                }
                "TYPE" => {
                    assert_eq!(helped, name, "HELP comes before TYPE");
                    assert!(families.insert(name.to_owned()), "family {name} twice");
                    let known: &[&str] = match format {
                        Format::Prometheus => &["counter", "gauge"],
                        Format::OpenMetrics => &["counter", "gauge", "info"],
                    };
                    assert!(known.contains(&rest), "{rest}");
                    if format == Format::Prometheus {
                        assert_eq!(rest == "counter", name.ends_with("_total"), "{name}");
                    }
                    (family, kind) = (name.to_owned(), rest.to_owned());
                }
                "UNIT" if format == Format::OpenMetrics => {
                    assert_eq!(name, family);
                    assert!(name.ends_with(&format!("_{rest}")), "{name} has the unit {rest}");
                }
                other => panic!("{other}"),
            }
            continue;
        }
        let end = line.find(['{', ' ']).expect("a sample has a value");
        let (name, rest) = line.split_at(end);
        let (labels, rest) = rest.strip_prefix('{').map_or_else(|| (BTreeMap::new(), rest), labels);
        let suffix = match (format, &*kind) {
            (Format::OpenMetrics, "counter") => "_total",
            (Format::OpenMetrics, "info") => "_info",
            _ => "",
        };
        assert_eq!(name, format!("{family}{suffix}"), "a sample stands below its family");
        let value = rest.strip_prefix(' ').expect("one space before the value");
        let number: f64 = value.parse().expect("a number");
        assert!(number.is_finite() && (kind != "counter" || number >= 0.0), "{line}");
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let series = format!("{name}{{{}}}", labels.join(","));
        assert!(samples.insert(series, number).is_none(), "a series twice: {line}");
    }
    samples
}
