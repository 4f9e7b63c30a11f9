//! The workspace as `cargo metadata` tells it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::build::cargo;
use crate::paths::Paths;
use crate::process::output;

/// A package of the workspace.
#[derive(Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its folder, from the checkout: `core`, `abi/xen-abi`.
    pub folder: PathBuf,
    /// Packages of the workspace that it depends on, with the kind: "normal", "dev", "build".
    pub dependencies: Vec<(String, String)>,
    /// Names of its binaries.
    pub bins: Vec<String>,
    /// `[package.metadata]` of its manifest.
    pub metadata: Value,
}

impl Package {
    /// The room it stands in: the first part of its folder.
    pub fn room(&self) -> String {
        self.folder.iter().next().map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// All packages of the workspace.
pub fn packages(paths: &Paths) -> Result<Vec<Package>> {
    let text = output(cargo(paths).args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata is no JSON")?;
    list(&metadata["packages"]).map(|package| read(paths, package)).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn read(paths: &Paths, package: &Value) -> Result<Package> {
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    let folder = manifest.parent().and_then(|dir| dir.strip_prefix(&paths.root).ok()).context("a package elsewhere")?;
    Ok(Package {
        name: text(&package["name"]),
        folder: folder.to_owned(),
        dependencies: list(&package["dependencies"])
            .filter(|dependency| dependency["path"].is_string())
            .map(|dependency| (text(&dependency["name"]), dependency["kind"].as_str().unwrap_or("normal").to_owned()))
            .collect(),
        bins: list(&package["targets"])
            .filter(|target| list(&target["kind"]).any(|kind| kind == "bin"))
            .map(|target| text(&target["name"]))
            .collect(),
        metadata: package["metadata"].clone(),
    })
}
