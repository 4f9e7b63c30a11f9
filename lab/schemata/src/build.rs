//! Puts the mutants into a copy of the sources, and takes those out again that do not compile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cargo::{Cargo, Program, errors};
use crate::list::Mutant;
use crate::render::{self, Form, Id, Marks};
use crate::sites::{self, Left, Sites};

/// What is added to the package's `lib.rs`.
const RUNTIME: &str = include_str!("../runtime.rs");

/// The sources with mutants in them.
pub struct Schema<'a> {
    cargo: Cargo<'a>,
    /// Each changed file: its text, and what is in it.
    files: BTreeMap<String, (String, Sites)>,
    marks: BTreeMap<String, Marks>,
    /// Mutants that are not in it, and why.
    pub left: BTreeMap<Id, Left>,
}

impl<'a> Schema<'a> {
    /// Finds the places of `mutants`.
    pub fn new(cargo: Cargo<'a>, mutants: &[(Id, &Mutant)]) -> Result<Self> {
        let mut by_file: BTreeMap<&str, Vec<(Id, &Mutant)>> = BTreeMap::new();
        for &(id, mutant) in mutants {
            by_file.entry(&mutant.file).or_default().push((id, mutant));
        }
        let mut schema = Self { cargo, files: BTreeMap::new(), marks: BTreeMap::new(), left: BTreeMap::new() };
        for (file, mutants) in by_file {
            let text = fs::read_to_string(cargo.tree.join(file)).with_context(|| format!("cannot read {file}"))?;
            let sites = sites::find(&text, &mutants).with_context(|| file.to_owned())?;
            schema.left.extend(sites.left.iter().cloned());
            schema.files.insert(file.to_owned(), (text, sites));
        }
        Ok(schema)
    }

    /// Writes the sources and builds `packages`' tests until all that is left compiles.
    pub fn build(&mut self, root: &str, packages: &[String]) -> Result<Vec<Program>> {
        loop {
            self.write(root)?;
            let (ok, messages) = self.cargo.run(&["check", "--tests"], packages)?;
            if ok {
                break;
            }
            self.blame(&messages)?;
        }
        match self.cargo.tests(packages)? {
            Ok(programs) => Ok(programs),
            Err(why) => bail!("the tests do not link: {why}"),
        }
    }

    /// Puts the old sources back.
    pub fn restore(&self, root: &str) -> Result<()> {
        for (file, (text, _)) in &self.files {
            fs::write(self.cargo.tree.join(file), text).with_context(|| format!("cannot write {file}"))?;
        }
        if !self.files.contains_key(root) {
            let path = self.cargo.tree.join(root);
            let text = fs::read_to_string(&path)?;
            fs::write(path, text.strip_suffix(RUNTIME).unwrap_or(&text))?;
        }
        Ok(())
    }

    fn write(&mut self, root: &str) -> Result<()> {
        for (file, (text, sites)) in &self.files {
            let (mut out, marks) = render::render(text, &sites.edits);
            if file == root {
                out.push_str(RUNTIME);
            }
            self.marks.insert(file.clone(), marks);
            fs::write(self.cargo.tree.join(file), out).with_context(|| format!("cannot write {file}"))?;
        }
        if !self.files.contains_key(root) {
            let path = self.cargo.tree.join(root);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {root}"))?;
            if !text.ends_with(RUNTIME) {
                fs::write(path, text + RUNTIME)?;
            }
        }
        Ok(())
    }

    /// Takes out what the compiler's errors are about.
    fn blame(&mut self, messages: &[Value]) -> Result<()> {
        let mut gone: BTreeMap<Id, Left> = BTreeMap::new();
        let mut constant = BTreeSet::new();
        let mut unknown = Vec::new();
        for (text, message) in errors(messages) {
            let found = self.culprits(message);
            let named = (message["code"]["code"] == "E0015").then(|| named(&text)).flatten();
            match (found.is_empty(), named) {
                (_, Some(name)) if self.is_unconst(&name) => _ = constant.insert(name),
                (false, _) => gone.extend(found.into_iter().map(|id| (id, Left::Unviable(text.clone())))),
                (true, _) => unknown.push(message["rendered"].as_str().unwrap_or(&text).to_owned()),
            }
        }
        for (_, sites) in self.files.values_mut() {
            for name in &constant {
                for id in sites.in_const_fn.remove(name).unwrap_or_default() {
                    gone.insert(id, Left::Alone);
                }
            }
            sites.edits.retain(|edit| !matches!(&edit.form, Form::NoConst(name) if constant.contains(name)));
            let ids = gone.keys().copied().collect();
            sites.edits = sites.edits.iter().filter_map(|edit| sites::without(edit, &ids)).collect();
        }
        if gone.is_empty() && constant.is_empty() {
            bail!("errors that no mutant explains:\n{}", unknown.join("\n"));
        }
        self.left.extend(gone);
        Ok(())
    }

    fn is_unconst(&self, name: &str) -> bool {
        let edits = self.files.values().flat_map(|(_, sites)| &sites.edits);
        edits.into_iter().any(|edit| matches!(&edit.form, Form::NoConst(of) if of == name))
    }

    /// The mutants around what an error points at, or, if there are none, those on its lines or in its arms.
    fn culprits(&self, message: &Value) -> Vec<Id> {
        let spans = message["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut found = Vec::new();
        for span in spans.iter().filter(|span| span["is_primary"] == true) {
            let Some((file, at)) = place(span) else { continue };
            let Some(marks) = self.marks.get(&file) else { continue };
            let mut ids = render::culprits(marks, &at);
            if ids.is_empty() {
                let Ok(text) = fs::read_to_string(self.cargo.tree.join(&file)) else { continue };
                let range = if message["code"]["code"] == "E0004" { braces(&text, at.end) } else { lines(&text, &at) };
                let near = marks.iter().filter(|(mark, _)| range.contains(&mark.start));
                ids = near.flat_map(|(_, ids)| ids.iter().copied()).collect();
            }
            found.extend(ids);
        }
        found
    }
}

fn place(span: &Value) -> Option<(String, Range<usize>)> {
    let byte = |key: &str| span[key].as_u64().and_then(|at| usize::try_from(at).ok());
    Some((span["file_name"].as_str()?.to_owned(), byte("byte_start")?..byte("byte_end")?))
}

/// The function of "cannot call non-const function `a::b::<C>::name` in constants".
fn named(text: &str) -> Option<String> {
    let path = text.split('`').nth(1)?;
    let last = path.rsplit("::").find(|part| !part.contains(['<', '>']))?;
    Some(last.to_owned())
}

fn lines(text: &str, at: &Range<usize>) -> Range<usize> {
    let start = text[..at.start].rfind('\n').map_or(0, |at| at + 1);
    start..text[at.end..].find('\n').map_or(text.len(), |end| at.end + end)
}

/// What stands in the first pair of braces behind `at`.
fn braces(text: &str, at: usize) -> Range<usize> {
    let mut depth = 0;
    for (offset, letter) in text[at..].char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 1 => return at..at + offset,
            '}' => depth -= 1,
            _ => {}
        }
    }
    at..text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_function() {
        let text = "cannot call non-const associated function `addr::Frame::<P>::to_addr` in constants";
        assert_eq!(named(text).as_deref(), Some("to_addr"));
        assert_eq!(named("no name"), None);
    }

    #[test]
    fn the_arms_of_a_match_are_between_its_braces() {
        let text = "match x { A => { 1 } _ => 2 } }";
        assert_eq!(&text[braces(text, 7)], " { A => { 1 } _ => 2 ");
        assert_eq!(&text[lines("a\nb c\nd", &(2..3))], "tch");
    }
}
