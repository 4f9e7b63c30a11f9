//! `fxnothing` of a release build begins at its own `_start`, with no C library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("PROFILE").is_some_and(|profile| profile == "release") {
        for arg in ["-nostartfiles", "-nodefaultlibs", "-static"] {
            println!("cargo::rustc-link-arg-bin=fxnothing={arg}");
        }
    }
}
