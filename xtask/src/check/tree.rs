//! The copy of the checkout in which the mutants live: the checkout itself is never changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::paths::Paths;

/// A copy of the sources.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Makes the copy the same as the checkout. Files that are the same keep their time stamps, so that only what changed is
    /// built again.
    pub fn sync(paths: &Paths, root: PathBuf) -> Result<Self> {
        let skip =
            [&paths.target, &paths.cache, &paths.dist, &paths.root.join("target"), &paths.root.join(".git"), &root];
        copy(&paths.root, &root, &|path| skip.iter().any(|skipped| **skipped == *path))?;
        Ok(Self { root })
    }

    /// The copy's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file's text.
    pub fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.root.join(file)).with_context(|| format!("cannot read {file}"))
    }

    /// Changes a file's text, gives the result of `then`, and puts the file back.
    pub fn with<T>(&self, file: &str, text: &str, then: impl FnOnce() -> T) -> Result<T> {
        let path = self.root.join(file);
        let original = self.read(file)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        let result = then();
        fs::write(&path, original).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(result)
    }
}

fn copy(from: &Path, to: &Path, skip: &dyn Fn(&Path) -> bool) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if skip(&source) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&source, &target, skip)?;
        } else if kind.is_file() {
            let bytes = fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
            if fs::read(&target).ok().as_deref() != Some(&bytes) {
                fs::write(&target, bytes).with_context(|| format!("cannot write {}", target.display()))?;
            }
        } else {
            continue;
        }
        names.insert(entry.file_name());
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !names.contains(&entry.file_name()) {
            let path = entry.path();
            let gone = if entry.file_type()?.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_follows_the_checkout_and_survives_a_mutant() {
        let dir = std::env::temp_dir().join(format!("ferroxen-tree-{}", std::process::id()));
        let paths = Paths {
            root: dir.join("checkout"),
            cache: dir.join("checkout/.cache"),
            target: dir.join("checkout/target"),
            dist: dir.join("checkout/dist"),
        };
        fs::create_dir_all(paths.root.join("core")).unwrap();
        fs::create_dir_all(&paths.target).unwrap();
        fs::write(paths.root.join("core/a.rs"), "a").unwrap();
        fs::write(paths.root.join("b.rs"), "b").unwrap();
        fs::write(paths.target.join("huge"), "huge").unwrap();
        let sync = || Tree::sync(&paths, paths.target.join("mutants")).unwrap();
        let tree = sync();
        assert!(!tree.root().join("target").exists());
        let seen = tree.with("core/a.rs", "wrong", || (tree.read("core/a.rs").unwrap(), paths.root.join("core/a.rs")));
        let (mutated, original) = seen.unwrap();
        assert_eq!((mutated.as_str(), fs::read_to_string(original).unwrap().as_str()), ("wrong", "a"));
        assert_eq!(tree.read("core/a.rs").unwrap(), "a");

        // What an interrupted run left is put right, what is gone goes.
        fs::write(tree.root().join("core/a.rs"), "wrong").unwrap();
        fs::remove_file(paths.root.join("b.rs")).unwrap();
        let tree = sync();
        assert_eq!(tree.read("core/a.rs").unwrap(), "a");
        assert!(!tree.root().join("b.rs").exists());
        fs::remove_dir_all(dir).unwrap();
    }
}
