//! The folder of configurations: all of it is right, or nothing is done.

use crate::config::syntax::{self, At};
use crate::{DomainConfig, config, uuid};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A configuration of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its file's name in the folder.
    pub file: String,
    /// What it says.
    pub config: DomainConfig,
}

/// What a folder holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Its configurations, by the names of their files.
    pub wanted: Vec<Wanted>,
    /// What may be wrong, a line each.
    pub warnings: Vec<String>,
}

/// Which file and place has something that only one may have.
#[derive(Default)]
struct Owners(BTreeMap<(&'static str, String), String>);

impl Owners {
    /// Takes it for the file at `place`; else whose it is.
    fn take(&mut self, kind: &'static str, what: &str, place: &str) -> Result<(), String> {
        match self.0.insert((kind, what.to_owned()), place.to_owned()) {
            Some(other) => Err(format!("{place}: {kind} {what} is that of {other} as well")),
            None => Ok(()),
        }
    }
}

/// Reads all files `*.cfg` of a folder.
///
/// # Errors
/// Everything that is wrong, a line each, with file and place.
pub fn read(dir: &Path) -> Result<Folder, Vec<String>> {
    let mut files = files(dir).map_err(|error| vec![format!("folder {}: {error}", dir.display())])?;
    files.sort();
    let (mut folder, mut errors, mut owners) = (Folder::default(), Vec::new(), Owners::default());
    for path in files {
        let shown = path.display().to_string();
        let text = match std::fs::read(&path).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(_)) => {
                errors.push(format!("{shown}: it is not text (UTF-8)"));
                continue;
            }
            Err(error) => {
                errors.push(format!("{shown}: {error}"));
                continue;
            }
        };
        let (config, warnings) = match config::parse(&text, &[]) {
            Ok(read) => read,
            Err(wrong) => {
                errors.push(wrong.with_file(&shown));
                continue;
            }
        };
        folder.warnings.extend(warnings.iter().map(|warning| warning.with_file(&shown)));
        let settings = syntax::parse(&text).map(|(settings, _)| settings).unwrap_or_default();
        let place = |key: &str| match settings.get(key).map(|setting| setting.value_at) {
            Some(At { line, column }) => format!("{shown}:{line}:{column}"),
            None => shown.clone(),
        };
        let mut single = vec![("name", config.name.clone(), place("name"))];
        single.extend(config.uuid.map(|id| ("uuid", uuid::format(&id), place("uuid"))));
        for disk in config.disks.iter().filter(|disk| !disk.read_only) {
            single.push(("writable disk", disk.target.clone(), place("disk")));
        }
        errors.extend(single.iter().filter_map(|(kind, what, place)| owners.take(kind, what, place).err()));
        if config.name == "Domain-0" {
            errors.push(format!("{}: name Domain-0 is the control domain's", place("name")));
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        folder.wanted.push(Wanted { file, config });
    }
    if errors.is_empty() { Ok(folder) } else { Err(errors) }
}

fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        // Editors leave hidden copies.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|end| end == "cfg") && !hidden && !path.is_dir() {
            all.push(path);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<Folder, Vec<String>>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let read = read(dir.path());
        (dir, read)
    }

    fn errors(files: &[(&str, &str)]) -> Vec<String> {
        let (dir, read) = folder(files);
        let prefix = format!("{}/", dir.path().display());
        read.unwrap_err().iter().map(|line| line.replace(&prefix, "")).collect()
    }

    #[test]
    fn configurations_come_by_the_names_of_their_files() {
        let one = |name: &str| format!("name='{name}'\nkernel='/k'\nlocaltime=1\n");
        let (_dir, read) = folder(&[
            ("b.cfg", &one("a")),
            ("a.cfg", &one("z")),
            (".c.cfg", "junk"),
            ("d.txt", "junk"),
            ("e.cfg~", ""),
        ]);
        let read = read.unwrap();
        let found: Vec<_> = read.wanted.iter().map(|one| (one.file.as_str(), one.config.name.as_str())).collect();
        assert_eq!(found, [("a.cfg", "z"), ("b.cfg", "a")]);
        assert_eq!(read.warnings.len(), 2);
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_place() {
        let told = errors(&[
            ("a.cfg", "name='x'\nkernel='/k'\ndisk=['/d,raw,xvda,w']\n"),
            ("b.cfg", "kernel='/k'\nname='x'\ndisk=['/d,raw,xvda,w']\n"),
            ("c.cfg", "name='c'\nkernel='/k'\nvcpus=0\n"),
            ("d.cfg", "name='Domain-0'\nkernel='/k'\n"),
            ("e.cfg", "name=\n"),
        ]);
        assert_eq!(
            told[..4],
            [
                "b.cfg:2:6: name x is that of a.cfg:1:6 as well",
                "b.cfg:3:6: writable disk /d is that of a.cfg:3:6 as well",
                "c.cfg:3:7: vcpus must be from 1 to 128",
                "d.cfg:1:6: name Domain-0 is the control domain's",
            ]
        );
        assert!(told[4].starts_with("e.cfg:1:6: ") && told.len() == 5, "{told:?}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_of_one_line() {
        let told = read(Path::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(told, ["folder /nowhere/at/all: No such file or directory (os error 2)"]);
    }
}
