//! Build script of every guest: the runtime's linker script, when the target is the bare machine.
fn main() {
    println!("cargo::rerun-if-changed=../rt/guest.lds");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let dir = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        let script = format!("-T{dir}/../rt/guest.lds");
        for arg in [&script, "--orphan-handling=error", "--no-pie", "-z", "max-page-size=4096", "--build-id=none"] {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
    }
}
