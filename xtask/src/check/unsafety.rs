//! Counts `unsafe` in each package. The number should only fall.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::paths::Paths;
use crate::workspace;

/// Prints the counts.
pub fn report(paths: &Paths) -> Result<()> {
    for package in workspace::packages(paths)? {
        let mut count = 0;
        walk(&paths.root.join(&package.folder), &mut count)?;
        if count > 0 {
            println!("       {count:5} unsafe in {}", package.name);
        }
    }
    Ok(())
}

fn walk(dir: &Path, count: &mut usize) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                walk(&path, count)?;
            }
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            *count += occurrences(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// The keyword's occurrences, without those in comments and strings.
fn occurrences(source: &str) -> usize {
    let mut code = String::new();
    let mut chars = source.chars().peekable();
    let mut depth = 0;
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('/', Some('*')) => {
                depth += 1;
                chars.next();
            }
            ('*', Some('/')) if depth > 0 => {
                depth -= 1;
                chars.next();
            }
            _ if depth > 0 => {}
            ('/', Some('/')) => while chars.next_if(|c| *c != '\n').is_some() {},
            ('\'', Some('"')) => {
                chars.next();
            }
            ('r', Some('#')) => {
                // A raw string; the next quote with as many signs behind it ends it.
                let signs = std::iter::from_fn(|| chars.next_if_eq(&'#')).count();
                if chars.next_if_eq(&'"').is_some() {
                    while let Some(c) = chars.next() {
                        if c == '"' && std::iter::from_fn(|| chars.next_if_eq(&'#')).take(signs).count() == signs {
                            break;
                        }
                    }
                }
            }
            ('"', _) => {
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                code.push(' ');
            }
            _ => code.push(c),
        }
    }
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| *word == "unsafe").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_other_words_do_not_count() {
        let source = r#"
            #![deny(unsafe_code)] // unsafe
            /* unsafe /* unsafe */ unsafe */
            let s = "unsafe \" unsafe"; let c = '"';
            unsafe { a() }; unsafe fn f() {}
        "#;
        let raw = format!("r{0}\"unsafe \" unsafe\"{0} unsafe", "#");
        assert_eq!(occurrences(&raw), 1);
        assert_eq!(occurrences(source), 2);
    }
}
