//! A daemon that does nothing, for the tests: `sleeper FOLDER --supervise`. It notes its process id in the folder.

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--supervise") {
        let mut worker = supervise::Supervised::this_program("--supervise")?;
        worker.args.push("--supervised".into());
        return worker.run();
    }
    supervise::follow("--supervised", "--supervise")?;
    let folder = std::path::PathBuf::from(args.first().map_or("", |folder| folder));
    std::fs::write(folder.join("new"), format!("{} {}", std::process::id(), std::os::unix::process::parent_id()))?;
    std::fs::rename(folder.join("new"), folder.join("ids"))?;
    // Nobody is left behind by a test that fails.
    std::thread::sleep(std::time::Duration::from_secs(60));
    Ok(())
}
