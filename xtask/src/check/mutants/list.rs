//! `core/mutants.toml` and `tools/mutants.toml`: which line becomes which, and the test that must notice.

use std::path::{Component, Path};

use anyhow::{Context, Result, anyhow, bail};

/// A one-line change that makes the code wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// What the change breaks, in words.
    pub name: String,
    /// The file, from the checkout.
    pub file: String,
    /// What stands exactly once in the file.
    pub find: String,
    /// What it becomes.
    pub replace: String,
    /// The package whose test notices.
    pub package: String,
    /// A unit test's full name; or `--test NAME`: all of an integration test; `loom NAME`: one of the package's models;
    /// or `bin NAME`: a unit test of a package that is a program only.
    pub test: String,
}

impl Mutant {
    /// What cargo has to build for the test: `--lib`, or `--test NAME`.
    pub fn target(&self) -> Vec<&str> {
        if self.is_model() {
            vec!["--test", "loom", "--features", "std"]
        } else if self.test.starts_with("--") {
            self.test.split_whitespace().collect()
        } else if self.test.starts_with("bin ") {
            vec!["--bins"]
        } else {
            vec!["--lib"]
        }
    }

    /// The one test to run; `None`: all of the target.
    pub fn filter(&self) -> Option<&str> {
        let named = |kind| self.test.strip_prefix(kind);
        (!self.test.starts_with("--")).then_some(named("loom ").or_else(|| named("bin ")).unwrap_or(&self.test))
    }

    /// The folder of the file's package.
    pub fn folder(&self) -> &str {
        self.file.split_once("/src/").map_or("", |(folder, _)| folder)
    }

    /// Whether its test is one of loom's models, for which the package is built differently.
    pub fn is_model(&self) -> bool {
        self.test.starts_with("loom ")
    }

    /// The file's text with the change made.
    ///
    /// # Errors
    /// What is looked for does not stand there exactly once, or the change changes nothing.
    pub fn apply(&self, source: &str) -> Result<String> {
        match source.matches(&self.find).count() {
            1 if self.find != self.replace => Ok(source.replacen(&self.find, &self.replace, 1)),
            1 => Err(anyhow!("changes nothing")),
            0 => Err(anyhow!("its line is no longer in {}", self.file)),
            count => Err(anyhow!("its line stands {count} times in {}", self.file)),
        }
    }
}

/// The file's entries.
///
/// # Errors
/// A line that is neither blank, a comment, `[[mutant]]` nor `key = "string"`; a key that is missing, doubled or unknown; a
/// path that leaves the checkout.
pub fn read(text: &str) -> Result<Vec<Mutant>> {
    let mut entries: Vec<Vec<(&str, String)>> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "[[mutant]]" {
            entries.push(Vec::new());
            continue;
        }
        let (key, value) = pair(line).with_context(|| format!("line {number}"))?;
        let entry = entries.last_mut().with_context(|| format!("line {number} stands before any [[mutant]]"))?;
        if entry.iter().any(|(known, _)| *known == key) {
            bail!("line {number}: a second {key}");
        }
        entry.push((key, value));
    }
    entries.into_iter().map(mutant).collect()
}

fn mutant(mut entry: Vec<(&str, String)>) -> Result<Mutant> {
    let name = entry.iter().find(|(key, _)| *key == "name").map(|(_, name)| name.clone()).unwrap_or_default();
    let mut take = |key: &str| {
        let at = entry.iter().position(|(known, _)| *known == key).with_context(|| format!("'{name}' has no {key}"))?;
        Ok::<_, anyhow::Error>(entry.swap_remove(at).1)
    };
    let mutant = Mutant {
        name: take("name")?,
        file: take("file")?,
        find: take("find")?,
        replace: take("replace")?,
        package: take("package")?,
        test: take("test")?,
    };
    if let Some((key, _)) = entry.first() {
        bail!("'{name}' has an unknown key {key}");
    }
    if !Path::new(&mutant.file).components().all(|part| matches!(part, Component::Normal(_))) {
        bail!("'{name}': {} is no path inside the checkout", mutant.file);
    }
    if mutant.find.trim().is_empty() || mutant.test.trim().is_empty() {
        bail!("'{name}' has an empty find or test");
    }
    Ok(mutant)
}

/// `key = "string"`, a basic string of TOML on one line.
fn pair(line: &str) -> Result<(&str, String)> {
    let (key, value) = line.split_once('=').context("neither a table nor a key")?;
    let mut chars = value.trim().strip_prefix('"').context("the value is no string in double quotes")?.chars();
    let mut text = String::new();
    loop {
        match chars.next().context("the string does not end")? {
            '"' => break,
            '\\' => text.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(c @ ('"' | '\\')) => c,
                _ => bail!("an escape that is none of \\n \\t \\\" \\\\"),
            }),
            c => text.push(c),
        }
    }
    let rest = chars.as_str().trim();
    if !rest.is_empty() && !rest.starts_with('#') {
        bail!("'{rest}' after the string");
    }
    Ok((key.trim(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"
        # a comment
        [[mutant]]
        name = "a flush is skipped"
        file = "core/src/a.rs"
        find = "flush(\"all\");" # as it stands
        replace = ""
        package = "core"
        test = "a::tests::it_is_flushed"
    "#;

    #[test]
    fn an_entry_is_read_with_its_escapes() {
        let read = read(ENTRY).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].find, "flush(\"all\");");
        assert_eq!((read[0].target(), read[0].filter()), (vec!["--lib"], Some("a::tests::it_is_flushed")));
    }

    #[test]
    fn a_mutants_folder_is_its_packages() {
        let at = |file: &str| read(&ENTRY.replace("core/src/a.rs", file)).unwrap()[0].folder().to_owned();
        assert_eq!((at("core/src/a/b.rs"), at("tools/xm/src/c.rs")), ("core".to_owned(), "tools/xm".to_owned()));
    }

    #[test]
    fn an_integration_test_is_run_whole() {
        let read = read(&ENTRY.replace("a::tests::it_is_flushed", "--test paging")).unwrap();
        assert_eq!((read[0].target(), read[0].filter()), (vec!["--test", "paging"], None));
    }

    #[test]
    fn a_program_has_unit_tests_too() {
        let read = read(&ENTRY.replace("a::tests::it_is_flushed", "bin a::tests::it_is_flushed")).unwrap();
        assert_eq!((read[0].target(), read[0].filter()), (vec!["--bins"], Some("a::tests::it_is_flushed")));
    }

    #[test]
    fn a_model_is_one_test_of_loom_s() {
        let read = read(&ENTRY.replace("a::tests::it_is_flushed", "loom frame::it_is_one")).unwrap();
        assert!(read[0].is_model());
        assert_eq!((read[0].target()[1], read[0].filter()), ("loom", Some("frame::it_is_one")));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (from, to) in [
            ("replace", "place"),
            ("package = \"core\"", "package = core"),
            ("package = \"core\"", ""),
            ("package = \"core\"", "package = \"core\"\npackage = \"core\""),
            ("core/src/a.rs", "../a.rs"),
            ("core/src/a.rs", "/a.rs"),
            ("[[mutant]]", "[mutant]"),
            ("\\\"all\\\"", "\\x"),
            ("test = \"a::tests::it_is_flushed\"", "test = \"a"),
        ] {
            assert!(read(&ENTRY.replace(from, to)).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn a_change_is_made_where_its_line_stands_once() {
        let mutant = &read(ENTRY).unwrap()[0];
        assert_eq!(mutant.apply("lock(); flush(\"all\"); free();").unwrap(), "lock();  free();");
        assert!(mutant.apply("lock(); free();").is_err());
        assert!(mutant.apply("flush(\"all\"); flush(\"all\");").is_err());
        assert!(Mutant { replace: mutant.find.clone(), ..mutant.clone() }.apply("flush(\"all\");").is_err());
    }
}
