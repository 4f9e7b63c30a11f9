//! Finds, in a file's syntax tree, the expression, arm or function to which each mutant belongs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::{Context, Result};
use proc_macro2::LineColumn;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::list::{Genre, Mutant, Place};
use crate::render::{Edit, Form, Id};

/// Why a mutant has no switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// It does not compile; what the compiler says.
    Unviable(String),
    /// It needs a text, and so a build, of its own.
    Alone,
}

/// What became of a file's mutants.
#[derive(Debug, Default)]
pub struct Sites {
    /// The places.
    pub edits: Vec<Edit>,
    /// Those that no switch can make.
    pub left: Vec<(Id, Left)>,
    /// Mutants inside a function that is `const` in the old text.
    pub in_const_fn: BTreeMap<String, Vec<Id>>,
}

/// The places of `mutants` in `text`.
///
/// # Errors
/// The text is no Rust.
pub fn find(text: &str, mutants: &[(Id, &Mutant)]) -> Result<Sites> {
    let file = syn::parse_file(text).context("cannot parse it")?;
    let mut finder = Finder {
        source: Source::new(text),
        wanted: BTreeMap::new(),
        sites: Sites::default(),
        constant: 0,
        function: None,
    };
    for &(id, mutant) in mutants {
        finder.wanted.entry((mutant.span.start, mutant.genre as u8)).or_default().push((id, mutant));
    }
    finder.visit_file(&file);
    // What the syntax tree does not have.
    let left = finder.wanted.values().flatten().map(|(id, _)| (*id, Left::Alone));
    finder.sites.left.extend(left);
    Ok(finder.sites)
}

/// `text` with one mutant in it.
pub fn changed(text: &str, mutant: &Mutant) -> String {
    let part = Source::new(text).mutants(mutant);
    format!("{}{}{}", &text[..part.start], mutant.replacement, &text[part.end..])
}

/// A text with its lines.
struct Source<'t> {
    text: &'t str,
    lines: Vec<usize>,
}

impl<'t> Source<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, lines: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect() }
    }

    /// The byte of a place; columns count from zero.
    fn byte(&self, line: usize, column: usize) -> usize {
        let start = self.lines[line - 1];
        self.text[start..].char_indices().nth(column).map_or(self.text.len(), |(at, _)| start + at)
    }

    fn at(&self, place: LineColumn) -> usize {
        self.byte(place.line, place.column)
    }

    fn range(&self, span: proc_macro2::Span) -> Range<usize> {
        self.at(span.start())..self.at(span.end())
    }

    fn mutants(&self, mutant: &Mutant) -> Range<usize> {
        let byte = |place: Place| self.byte(place.line, place.column - 1);
        byte(mutant.span.start)..byte(mutant.span.end)
    }
}

type Wanted<'m> = BTreeMap<(Place, u8), Vec<(Id, &'m Mutant)>>;

struct Finder<'t, 'm> {
    source: Source<'t>,
    wanted: Wanted<'m>,
    sites: Sites,
    /// How many constant contexts are around.
    constant: usize,
    /// The `const fn` around.
    function: Option<String>,
}

impl<'m> Finder<'_, 'm> {
    /// The mutants of this kind that begin here; each is given once.
    fn take(&mut self, start: LineColumn, genre: Genre) -> Vec<(Id, &'m Mutant)> {
        let place = Place { line: start.line, column: start.column + 1 };
        let found = self.wanted.remove(&(place, genre as u8)).unwrap_or_default();
        if self.constant > 0 {
            self.leave(&found, &Left::Alone);
            return Vec::new();
        }
        if let Some(function) = &self.function {
            self.sites.in_const_fn.entry(function.clone()).or_default().extend(found.iter().map(|(id, _)| *id));
        }
        found
    }

    fn leave(&mut self, mutants: &[(Id, &Mutant)], why: &Left) {
        self.sites.left.extend(mutants.iter().map(|(id, _)| (*id, why.clone())));
    }

    /// `range` of the text, with each mutant's replacement in it.
    fn choice(&mut self, range: Range<usize>, mutants: &[(Id, &Mutant)]) {
        if mutants.is_empty() {
            return;
        }
        let text = self.source.text;
        let other = |mutant: &Mutant| {
            let part = self.source.mutants(mutant);
            format!("{}{}{}", &text[range.start..part.start], mutant.replacement, &text[part.end..range.end])
        };
        let others = mutants.iter().map(|(id, mutant)| (*id, other(mutant))).collect();
        self.sites.edits.push(Edit { range, form: Form::Choice(others) });
    }

    fn in_constant(&mut self, visit: impl FnOnce(&mut Self)) {
        self.constant += 1;
        visit(self);
        self.constant -= 1;
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block, visit: impl FnOnce(&mut Self)) {
        let outer = self.function.take();
        if let Some(word) = &signature.constness {
            let name = signature.ident.to_string();
            // With the blank behind it.
            let word = self.source.range(word.span());
            self.sites.edits.push(Edit { range: word.start..word.end + 1, form: Form::NoConst(name.clone()) });
            self.function = Some(name);
        }
        if let Some(first) = block.stmts.first() {
            let start = first.span().start();
            let values = self.take(start, Genre::FnValue);
            let opaque =
                matches!(&signature.output, syn::ReturnType::Type(_, of) if matches!(**of, syn::Type::ImplTrait(_)));
            if opaque {
                // The function's type is that of its old value.
                self.leave(&values, &Left::Alone);
            } else if !values.is_empty() {
                let at = self.source.at(start);
                let values = values.iter().map(|(id, mutant)| (*id, mutant.replacement.clone())).collect();
                self.sites.edits.push(Edit { range: at..at, form: Form::Return(values) });
            }
        }
        visit(self);
        self.function = outer;
    }
}

/// Whether `let` stands in a chain of conditions.
fn has_let(expr: &syn::Expr) -> bool {
    match expr {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

fn only_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let of_cfg = |list: &syn::MetaList| list.path.is_ident("cfg") && list.tokens.to_string() == "test";
        attribute.meta.require_list().is_ok_and(of_cfg)
    })
}

impl<'ast> Visit<'ast> for Finder<'_, '_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !only_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block, |finder| visit::visit_item_fn(finder, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block, |finder| visit::visit_impl_item_fn(finder, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        match &item.default {
            Some(block) => self.function(&item.sig, block, |finder| visit::visit_trait_item_fn(finder, item)),
            None => visit::visit_trait_item_fn(self, item),
        }
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.in_constant(|finder| visit::visit_item_const(finder, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.in_constant(|finder| visit::visit_item_static(finder, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.in_constant(|finder| visit::visit_impl_item_const(finder, item));
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.in_constant(|finder| visit::visit_trait_item_const(finder, item));
    }

    fn visit_type(&mut self, item: &'ast syn::Type) {
        self.in_constant(|finder| visit::visit_type(finder, item));
    }

    fn visit_expr_const(&mut self, item: &'ast syn::ExprConst) {
        self.in_constant(|finder| visit::visit_expr_const(finder, item));
    }

    fn visit_variant(&mut self, item: &'ast syn::Variant) {
        self.in_constant(|finder| visit::visit_variant(finder, item));
    }

    fn visit_generic_argument(&mut self, item: &'ast syn::GenericArgument) {
        self.in_constant(|finder| visit::visit_generic_argument(finder, item));
    }

    fn visit_expr_repeat(&mut self, item: &'ast syn::ExprRepeat) {
        self.visit_expr(&item.expr);
        self.in_constant(|finder| finder.visit_expr(&item.len));
    }

    fn visit_pat(&mut self, item: &'ast syn::Pat) {
        self.in_constant(|finder| visit::visit_pat(finder, item));
    }

    fn visit_expr_binary(&mut self, item: &'ast syn::ExprBinary) {
        let found = self.take(item.op.span().start(), Genre::BinaryOperator);
        if has_let(&item.left) || has_let(&item.right) {
            self.leave(&found, &Left::Unviable("`let` stands beside no `||`".to_owned()));
        } else {
            let range = self.source.range(item.span());
            self.choice(range, &found);
        }
        visit::visit_expr_binary(self, item);
    }

    fn visit_expr_unary(&mut self, item: &'ast syn::ExprUnary) {
        let found = self.take(item.op.span().start(), Genre::UnaryOperator);
        let range = self.source.range(item.span());
        self.choice(range, &found);
        visit::visit_expr_unary(self, item);
    }

    fn visit_expr_struct(&mut self, item: &'ast syn::ExprStruct) {
        let range = self.source.range(item.span());
        let text = self.source.text;
        let mut others = Vec::new();
        for field in &item.fields {
            for (id, mutant) in self.take(field.span().start(), Genre::StructField) {
                let part = self.source.mutants(mutant);
                // The comma behind it goes with it.
                let after = text[part.end..range.end].trim_start();
                let after = if text[part.clone()].ends_with(',') { after } else { after.trim_start_matches(',') };
                others.push((id, format!("{}{after}", &text[range.start..part.start])));
            }
        }
        if !others.is_empty() {
            self.sites.edits.push(Edit { range, form: Form::Choice(others) });
        }
        visit::visit_expr_struct(self, item);
    }

    fn visit_arm(&mut self, item: &'ast syn::Arm) {
        let arm = self.take(item.span().start(), Genre::MatchArm).first().map(|(id, _)| *id);
        if let Some((_, guard)) = &item.guard {
            let found = self.take(guard.span().start(), Genre::MatchArmGuard);
            let with = |word: &str| found.iter().find(|(_, mutant)| mutant.replacement == word).map(|(id, _)| *id);
            let form = Form::Guard { arm, yes: with("true"), no: with("false") };
            if arm.is_some() || !found.is_empty() {
                self.sites.edits.push(Edit { range: self.source.range(guard.span()), form });
            }
        } else if let Some(id) = arm {
            let at = self.source.at(item.pat.span().end());
            self.sites.edits.push(Edit { range: at..at, form: Form::Arm(id) });
        }
        visit::visit_arm(self, item);
    }
}

/// The mutants of an edit.
pub fn of(edit: &Edit) -> BTreeSet<Id> {
    match &edit.form {
        Form::Choice(others) | Form::Return(others) => others.iter().map(|(id, _)| *id).collect(),
        Form::Guard { arm, yes, no } => [arm, yes, no].into_iter().flatten().copied().collect(),
        Form::Arm(id) => [*id].into(),
        Form::NoConst(_) => BTreeSet::new(),
    }
}

/// The edit without some mutants; `None`: nothing is left of it.
pub fn without(edit: &Edit, gone: &BTreeSet<Id>) -> Option<Edit> {
    let keep =
        |others: &[(Id, String)]| -> Vec<_> { others.iter().filter(|(id, _)| !gone.contains(id)).cloned().collect() };
    let one = |id: Option<Id>| id.filter(|id| !gone.contains(id));
    let form = match &edit.form {
        Form::Choice(others) => Form::Choice(keep(others)),
        Form::Return(others) => Form::Return(keep(others)),
        Form::Guard { arm, yes, no } => Form::Guard { arm: one(*arm), yes: one(*yes), no: one(*no) },
        other => other.clone(),
    };
    let edit = Edit { range: edit.range.clone(), form };
    let is_left = of(&edit).iter().any(|id| !gone.contains(id));
    (is_left || matches!(edit.form, Form::NoConst(_))).then_some(edit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::Span;

    const TEXT: &str = "const A: u8 = 1 << 2;\nfn f() -> u8 {\n    A | 1\n}\n";

    /// The mutant that puts `replacement` at a place of `TEXT`.
    fn mutant(replacement: &str, line: usize, columns: Range<usize>) -> Mutant {
        let place = |column| Place { line, column };
        let span = Span { start: place(columns.start), end: place(columns.end) };
        let (name, file) = (String::new(), String::new());
        Mutant { name, file, genre: Genre::BinaryOperator, span, replacement: replacement.to_owned() }
    }

    #[test]
    fn a_constants_mutant_has_no_switch_but_a_text() {
        let (constant, other, lost) = (mutant(">>", 1, 17..19), mutant("^", 3, 7..8), mutant("+", 4, 1..2));
        let sites = find(TEXT, &[(1, &constant), (2, &other), (3, &lost)]).unwrap();
        assert_eq!(sites.left, [(1, Left::Alone), (3, Left::Alone)]);
        assert_eq!(sites.edits.iter().flat_map(of).collect::<Vec<_>>(), [2]);
        assert_eq!(changed(TEXT, &constant), TEXT.replace("<<", ">>"));
        assert_eq!(changed(TEXT, &other), TEXT.replace('|', "^"));
    }
}
