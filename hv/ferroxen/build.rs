//! Passes the linker script when the target is the bare machine.
fn main() {
    println!("cargo::rerun-if-changed=ferroxen.lds");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let dir = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        for arg in [
            &format!("-T{dir}/ferroxen.lds"),
            "--orphan-handling=error",
            "--no-pie",
            "-z",
            "max-page-size=4096",
            "--build-id=sha1",
        ] {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
    }
}
