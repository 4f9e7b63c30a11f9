//! What guests start with: Debian's kernel, a small ramdisk, and configurations, all in dom0's `/guests`.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::cpio::Cpio;
use super::{PROFILE, fingerprint, modules};
use crate::build;
use crate::kernel_image;
use crate::paths::Paths;
use crate::setup::{Kernel, Parts};
use crate::ui;

const INIT: &str = include_str!("guest.sh");
/// What the guest of `./x bench` does after its init.
const BENCH: &str = include_str!("../bench/scripts/guest.sh");
/// What a guest's devices and its disk's file system need.
const MODULES: &[&str] = &["xen-blkfront", "xen-netfront", "af_packet", "ext4", "crc32c_generic"];
/// What a guest that measures hypercalls needs as well.
const BENCH_MODULES: &[&str] = &["xen-evtchn", "xen-privcmd", "xen-gntdev", "xen-gntalloc"];

/// Configurations, by name in `/guests`.
const CONFIGS: &[(&str, &str)] = &[
    (
        "hello.cfg",
        "# The smallest guest: prints a few lines and shuts down.\nname = \"hello\"\nkernel = \"/guests/hello\"\n\
         memory = 32\non_poweroff = \"destroy\"\n",
    ),
    (
        "balloon.cfg",
        "# A test guest that has as much memory as `memory/target` says.\nname = \"balloon\"\nkernel = \"/guests/balloon\"\n\
         memory = 128\non_poweroff = \"destroy\"\n",
    ),
    (
        "ramdisk.cfg",
        "# Debian's kernel with a ramdisk.\nname = \"ramdisk\"\nkernel = \"/guests/vmlinuz\"\n\
         ramdisk = \"/guests/ramdisk.img\"\nmemory = 160\nvcpus = 1\nextra = \"console=hvc0 quiet fx.name=ramdisk\"\n",
    ),
    (
        "disk.cfg",
        "# Debian's kernel with a disk image and a network card in xenbr0.\nname = \"disk\"\n\
         kernel = \"/guests/vmlinuz\"\nramdisk = \"/guests/ramdisk.img\"\nmemory = 160\nvcpus = 1\n\
         disk = [ 'format=raw, vdev=xvda, access=rw, target=/guests/disk.img' ]\nvif = [ 'bridge=xenbr0' ]\n\
         extra = \"console=hvc0 quiet fx.name=disk fx.mount=/dev/xvda fx.ip=192.168.77.2/24\"\n",
    ),
];

/// What prepares dom0 for the guests: a bridge and a disk image.
const PREPARE: &str = "#!/bin/sh
set -e
modprobe -q bridge || true
modprobe -q loop || true
[ -d /sys/class/net/xenbr0 ] || ip link add xenbr0 type bridge
ip addr add 192.168.77.1/24 dev xenbr0 2>/dev/null || true
ip link set xenbr0 up
if [ ! -e /guests/disk.img ]; then
	truncate -s 32M /guests/disk.img
	mke2fs -F /guests/disk.img >/dev/null
	modprobe -q ext4 || true
	mkdir -p /tmp/image
	mount -o loop /guests/disk.img /tmp/image
	echo hello >/tmp/image/hello
	umount /tmp/image
fi
";

/// Words for scripts of tests.
const WORDS: &str = include_str!("../test/scripts/words.sh");
/// And for those that look after guests at work.
const LOAD: &str = include_str!("../test/scripts/load.sh");

/// The files of `/guests` for `kernel`: `(path in dom0, file)`. With `bench` also an unpacked kernel, and the ramdisk of a
/// guest that measures.
pub fn files(paths: &Paths, kernel: &Kernel, bench: bool) -> Result<Vec<(String, PathBuf)>> {
    let small = build::bare_metal(paths, &["guest-hello", "guest-balloon"])?;
    let mut files = vec![
        ("guests/vmlinuz".to_owned(), kernel.image.clone()),
        ("guests/ramdisk.img".to_owned(), ramdisk(paths, kernel, None)?),
        ("guests/hello".to_owned(), small.join("guest-hello")),
        ("guests/balloon".to_owned(), small.join("guest-balloon")),
    ];
    if bench {
        let programs = crate::fxbench::build(paths)?;
        files.push(("guests/bench.img".to_owned(), ramdisk(paths, kernel, Some(&programs))?));
        files.push(("guests/vmlinux".to_owned(), kernel_image::vmlinux(paths, kernel)?));
    }
    let dir = paths.target.join("guests");
    fs::create_dir_all(&dir)?;
    for (name, content) in CONFIGS.iter().chain([&("prepare", PREPARE), &("words.sh", WORDS), &("load.sh", LOAD)]) {
        let file = dir.join(name);
        fs::write(&file, content)?;
        files.push((format!("guests/{name}"), file));
    }
    Ok(files)
}

/// The ramdisk, built unless the cache has it; with the programs of fxbench, that of a guest that measures.
fn ramdisk(paths: &Paths, kernel: &Kernel, bench: Option<&[PathBuf; 2]>) -> Result<PathBuf> {
    let busybox = Parts::new(paths).busybox()?;
    let mut inputs = vec![busybox.as_path(), kernel.image.as_path()];
    inputs.extend(bench.into_iter().flatten().map(PathBuf::as_path));
    let mut print = fingerprint(&inputs);
    for byte in INIT.bytes().chain(BENCH.bytes()).chain(include_bytes!("guest.rs").iter().copied()) {
        print = (print ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let kind = if bench.is_some() { "guest-bench" } else { "guest" };
    let image = paths.cache.join(format!("{kind}-{}-{print:016x}.img", kernel.release));
    if image.exists() {
        return Ok(image);
    }
    ui::step(format!("building the guests' ramdisk for {}", kernel.release));
    let fresh = image.with_extension(format!("new-{}", std::process::id()));
    let out = GzEncoder::new(BufWriter::new(File::create(&fresh)?), Compression::new(3));
    let mut cpio = Cpio::new(out);
    cpio.chardev("dev/console", 0o600, (5, 1))?;
    cpio.file("init", 0o755, INIT.as_bytes())?;
    cpio.file("etc/profile", 0o644, PROFILE.replace("dom0", "\\h").as_bytes())?;
    cpio.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
    cpio.host("bin/busybox", &busybox)?;
    cpio.link("bin/sh", "busybox")?;
    for dir in ["sbin", "usr/bin", "usr/sbin", "proc", "sys", "run", "tmp", "root", "mnt"] {
        cpio.dir(dir)?;
    }
    if let Some(programs) = bench {
        for (name, program) in crate::fxbench::PROGRAMS.iter().zip(programs) {
            cpio.host(&format!("bin/{name}"), program)?;
        }
        cpio.file("etc/bench", 0o644, BENCH.as_bytes())?;
    }
    if let Some(dir) = &kernel.modules {
        let mut names = MODULES.to_vec();
        names.extend(bench.iter().flat_map(|_| BENCH_MODULES));
        let selection = modules::select_named(dir, &names)?;
        let to = format!("lib/modules/{}", kernel.release);
        for module in &selection.modules {
            cpio.file(&format!("{to}/{}", module.inner), 0o644, &module.content)?;
        }
        cpio.file(&format!("{to}/modules.dep"), 0o644, selection.dep.as_bytes())?;
        cpio.file(&format!("{to}/modules.alias"), 0o644, selection.alias.as_bytes())?;
    }
    cpio.finish()?.finish()?.flush()?;
    fs::rename(&fresh, &image)?;
    Ok(image)
}
