//! A file's text with all its mutants in it, each behind a switch, and where in the new text each of them stands.

use std::ops::Range;

/// A mutant's number.
pub type Id = u32;

/// A place of the old text and what it becomes.
#[derive(Debug, Clone)]
pub struct Edit {
    /// Bytes of the old text; empty: something is inserted.
    pub range: Range<usize>,
    /// What it becomes.
    pub form: Form,
}

/// What a place becomes.
#[derive(Debug, Clone)]
pub enum Form {
    /// One of these expressions, or the old one.
    Choice(Vec<(Id, String)>),
    /// These values are returned at once, or the function goes on.
    Return(Vec<(Id, String)>),
    /// An arm's guard: it is left out, or its guard is true, or false, or the old one.
    Guard { arm: Option<Id>, yes: Option<Id>, no: Option<Id> },
    /// An arm without a guard that can be left out.
    Arm(Id),
    /// Nothing: the word `const` of a function of this name.
    NoConst(String),
}

/// Stretches of the new text, and the mutants that stand in each.
pub type Marks = Vec<(Range<usize>, Vec<Id>)>;

/// What calls the switch.
const LIVE: &str = "crate::schema_runtime::live";

/// The new text.
pub fn render(text: &str, edits: &[Edit]) -> (String, Marks) {
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    // An insertion stands before what begins at the same place, the outer before the inner.
    sorted.sort_by_key(|edit| (edit.range.start, !edit.range.is_empty(), usize::MAX - edit.range.end));
    let mut renderer = Renderer { text, out: String::with_capacity(text.len() * 4), marks: Vec::new() };
    renderer.stretch(0..text.len(), &sorted);
    (renderer.out, renderer.marks)
}

struct Renderer<'a> {
    text: &'a str,
    out: String,
    marks: Marks,
}

impl Renderer<'_> {
    /// The old text of `range` with the edits inside it.
    fn stretch(&mut self, range: Range<usize>, mut edits: &[&Edit]) {
        let mut at = range.start;
        while let [edit, rest @ ..] = edits {
            let inside = rest.iter().take_while(|inner| {
                inner.range.end <= edit.range.end && inner.range.start < edit.range.end && !edit.range.is_empty()
            });
            let (inner, after) = rest.split_at(inside.count());
            self.out.push_str(&self.text[at..edit.range.start]);
            self.edit(edit, inner);
            at = edit.range.end;
            edits = after;
        }
        self.out.push_str(&self.text[at..range.end]);
    }

    fn edit(&mut self, edit: &Edit, inner: &[&Edit]) {
        let start = self.out.len();
        let mut all = Vec::new();
        match &edit.form {
            Form::Choice(others) => {
                self.out.push('(');
                for (id, other) in others {
                    self.out.push_str(&format!("if {LIVE}({id}) {{ "));
                    self.marked(&[*id], other);
                    self.out.push_str(" } else ");
                    all.push(*id);
                }
                self.out.push_str("{ ");
                self.stretch(edit.range.clone(), inner);
                self.out.push_str(" })");
            }
            Form::Return(values) => {
                for (id, value) in values {
                    let from = self.out.len();
                    self.out.push_str(&format!("if {LIVE}({id}) {{ return {value}; }} "));
                    self.marks.push((from..self.out.len(), vec![*id]));
                    all.push(*id);
                }
            }
            Form::Guard { arm, yes, no } => {
                let call = |id: &Option<Id>| id.map_or("false".to_owned(), |id| format!("{LIVE}({id})"));
                self.out.push_str(&format!("(!{} && ({} || (!{} && (", call(arm), call(yes), call(no)));
                self.stretch(edit.range.clone(), inner);
                self.out.push_str("))))");
                all.extend([arm, yes, no].into_iter().flatten());
            }
            Form::Arm(id) => {
                self.out.push_str(&format!(" if !{LIVE}({id})"));
                all.push(*id);
            }
            Form::NoConst(_) => {}
        }
        if !all.is_empty() {
            self.marks.push((start..self.out.len(), all));
        }
    }

    fn marked(&mut self, ids: &[Id], text: &str) {
        let from = self.out.len();
        self.out.push_str(text);
        self.marks.push((from..self.out.len(), ids.to_vec()));
    }
}

/// The mutants of the smallest marked stretch that holds `at`.
pub fn culprits(marks: &Marks, at: &Range<usize>) -> Vec<Id> {
    let around = marks.iter().filter(|(range, _)| range.start <= at.start && at.end <= range.end);
    around.min_by_key(|(range, _)| range.len()).map(|(_, ids)| ids.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(range: Range<usize>, id: Id, other: &str) -> Edit {
        Edit { range, form: Form::Choice(vec![(id, other.to_owned())]) }
    }

    #[test]
    fn choices_stand_in_each_other_and_are_found_again() {
        let text = "a + b * c;";
        let edits = [choice(4..9, 2, "b / c"), choice(0..9, 1, "a - b * c")];
        let (out, marks) = render(text, &edits);
        let out = out.replace(LIVE, "m");
        assert_eq!(out, "(if m(1) { a - b * c } else { a + (if m(2) { b / c } else { b * c }) });");
        let (out, _) = render(text, &edits);
        let of = |words: &str| out.find(words).map(|at| at..at + words.len()).unwrap();
        assert_eq!(culprits(&marks, &of("b / c")), [2]);
        assert_eq!(culprits(&marks, &of("a - b")), [1]);
        assert_eq!(culprits(&marks, &of("b * c })")), [2]);
        assert!(culprits(&marks, &of(";")).is_empty());
    }

    #[test]
    fn insertions_come_first_and_guards_are_kept() {
        let text = "{ match x { 1 if y => a } }";
        let edits = [
            Edit { range: 17..18, form: Form::Guard { arm: Some(3), yes: Some(4), no: None } },
            choice(2..25, 9, "z"),
            Edit { range: 2..2, form: Form::Return(vec![(7, "0".to_owned())]) },
        ];
        let out = render(text, &edits).0.replace(LIVE, "m");
        let guard = "(!m(3) && (m(4) || (!false && (y))))";
        let choice = format!("(if m(9) {{ z }} else {{ match x {{ 1 if {guard} => a }} }})");
        assert_eq!(out, format!("{{ if m(7) {{ return 0; }} {choice} }}"));
        let without = [Edit { range: 14..14, form: Form::Arm(5) }];
        assert_eq!(
            render("match x { 1 => a }", &[Edit { range: 11..11, ..without[0].clone() }]).0.replace(LIVE, "m"),
            "match x { 1 if !m(5) => a }"
        );
    }
}
