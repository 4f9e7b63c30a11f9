//! The packages, with small files in the place of programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::contents::{self, Inputs};
use super::package::Package;
use crate::own_tools;
use crate::process::output;

/// A folder of one test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("ferroxen-deb-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn inputs(dir: &Path) -> Inputs {
    let program = dir.join("program");
    fs::write(&program, "a program").unwrap();
    Inputs {
        version: "1.2.3+git1.abc".to_owned(),
        release: "1.2.3".to_owned(),
        hypervisor: b"a hypervisor".to_vec(),
        programs: own_tools::programs().map(|name| (name.to_owned(), program.clone())).collect(),
        links: own_tools::links(),
        manual: ".TH xm 1\n".to_owned(),
        exporter_manual: ".TH xen-exporter 1\n".to_owned(),
        completions: ["bash", "zsh", "fish"].map(str::to_owned),
        documents: vec![("decisions/1.md".to_owned(), "# One\n".to_owned())],
        changelog: "# Changelog\n".to_owned(),
        licences: ["MIT\n\ntext".to_owned(), "Apache".to_owned()],
    }
}

fn build(package: &Package, dir: &Path) -> PathBuf {
    package.build(&dir.join("work"), dir, 1_700_000_000).unwrap()
}

fn dpkg_deb(args: &[&str], file: &Path) -> String {
    output(Command::new("dpkg-deb").args(args).arg(file).env("TZ", "UTC")).unwrap()
}

/// What is in a package: path → permissions and owner; links with where they go.
fn list(file: &Path) -> BTreeMap<String, String> {
    dpkg_deb(&["--contents"], file)
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            let mode = words.next().unwrap();
            let owner = words.next().unwrap();
            let path = words.skip(3).collect::<Vec<_>>().join(" ");
            (path.trim_start_matches("./").to_owned(), format!("{mode} {owner}"))
        })
        .collect()
}

/// dpkg-deb and Debian's shell are everywhere that packages are built.
fn both(name: &str) -> (Dir, [Package; 2]) {
    let dir = Dir::new(name);
    let inputs = inputs(&dir.0);
    (dir, [contents::hypervisor(&inputs), contents::tools(&inputs)])
}

#[test]
fn built_twice_they_are_the_same_byte_for_byte() {
    let (dir, packages) = both("twice");
    for package in packages {
        let first = fs::read(build(&package, &dir.0)).unwrap();
        let later = dir.0.join("later");
        // Another folder, another time of all files.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert!(first == fs::read(build(&package, &later)).unwrap(), "{}", package.name);
    }
}

#[test]
fn files_have_their_paths_and_permissions() {
    let (dir, [hypervisor, tools]) = both("paths");
    let files = list(&build(&hypervisor, &dir.0));
    let has = |files: &BTreeMap<String, String>, path: &str, mode: &str| {
        assert_eq!(files.get(path).map(String::as_str), Some(format!("{mode} root/root").as_str()), "{path}");
    };
    has(&files, "boot/ferroxen-1.2.3.gz", "-rw-r--r--");
    has(&files, "etc/grub.d/20_linux_ferroxen", "-rwxr-xr-x");
    has(&files, "etc/default/grub.d/ferroxen.cfg", "-rw-r--r--");
    has(&files, "usr/share/doc/ferroxen-hypervisor/copyright", "-rw-r--r--");
    // Debian's own script takes what begins so for its hypervisor.
    assert!(!files.keys().any(|path| path.starts_with("boot/xen")));
    let files = list(&build(&tools, &dir.0));
    for program in own_tools::programs() {
        has(&files, &format!("usr/lib/ferroxen/bin/{program}"), "-rwxr-xr-x");
    }
    has(&files, "usr/lib/ferroxen/bin/xl -> xm", "lrwxrwxrwx");
    has(&files, "usr/sbin/xm -> ../lib/ferroxen/bin/xm", "lrwxrwxrwx");
    has(&files, "usr/lib/systemd/system/xenstored.service", "-rw-r--r--");
    has(&files, "usr/share/man/man1/xm.1.gz", "-rw-r--r--");
    has(&files, "usr/lib/systemd/system/xen-exporter.service", "-rw-r--r--");
    has(&files, "usr/share/man/man1/xen-exporter.1.gz", "-rw-r--r--");
    has(&files, "usr/share/doc/ferroxen-tools/decisions/1.md", "-rw-r--r--");
    has(&files, "etc/xen/auto/", "drwxr-xr-x");
    // These are the alternatives' business.
    for path in ["usr/sbin/xl", "usr/bin/xenstore", "usr/lib/systemd/system/xen.service"] {
        assert!(!files.keys().any(|file| file.split(' ').next() == Some(path)), "{path}");
    }
}

#[test]
fn sums_and_configuration_files_are_listed() {
    let (dir, packages) = both("sums");
    for package in packages {
        let file = build(&package, &dir.0);
        let root = dir.0.join(format!("root-{}", package.name));
        output(Command::new("dpkg-deb").arg("--raw-extract").arg(&file).arg(&root)).unwrap();
        output(Command::new("md5sum").args(["--check", "--strict", "--quiet", "DEBIAN/md5sums"]).current_dir(&root))
            .unwrap();
        let sums = fs::read_to_string(root.join("DEBIAN/md5sums")).unwrap();
        let regular = list(&file).iter().filter(|(_, mode)| mode.starts_with('-')).count();
        assert_eq!(sums.lines().count(), regular);
        let conffiles = fs::read_to_string(root.join("DEBIAN/conffiles")).unwrap();
        let wanted = match package.name {
            "ferroxen-hypervisor" => "/etc/grub.d/20_linux_ferroxen\n/etc/default/grub.d/ferroxen.cfg\n",
            _ => "/etc/default/ferroxen\n/etc/logrotate.d/ferroxen-tools\n",
        };
        assert_eq!(conffiles, wanted);
    }
}

#[test]
fn control_fields_are_there() {
    let (dir, [hypervisor, tools]) = both("control");
    let file = build(&tools, &dir.0);
    let field =
        |name: &str| dpkg_deb(&["--field"], &file).lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    assert_eq!(field("Package: ").as_deref(), Some("ferroxen-tools"));
    assert_eq!(field("Version: ").as_deref(), Some("1.2.3+git1.abc"));
    assert_eq!(field("Depends: ").as_deref(), Some("kmod"));
    assert!(field("Installed-Size: ").unwrap().parse::<u64>().unwrap() > 5);
    let file = build(&hypervisor, &dir.0);
    assert!(dpkg_deb(&["--field"], &file).contains("\nDescription: Xen-compatible hypervisor in Rust\n Ferroxen"));
}

#[test]
fn every_script_is_one_that_the_shell_reads() {
    let (dir, packages) = both("scripts");
    let sh = |name: &str, text: &str| {
        assert!(text.starts_with("#!/bin/sh\n"), "{name}");
        assert!(!text.contains("@names@"), "{name}");
        let file = dir.0.join("script");
        fs::write(&file, text).unwrap();
        output(Command::new("sh").arg("-n").arg(&file)).unwrap_or_else(|err| panic!("{name}: {err:#}"));
    };
    for package in &packages {
        package.scripts.iter().for_each(|(name, text)| sh(name, text));
        for item in package.items.iter().filter(|item| item.mode == 0o755) {
            if let super::package::Content::Text(text) = &item.content {
                sh(&item.path, text);
            }
        }
    }
}

#[test]
fn every_shared_name_is_one_of_our_programs() {
    let text = output(
        Command::new("sh")
            .arg("-c")
            .arg(concat!(include_str!("files/tools/names.sh"), "\nfor path in $shared; do echo ${path##*/}; done")),
    )
    .unwrap();
    let ours: Vec<&str> = own_tools::programs().chain(own_tools::links().iter().map(|(name, _)| *name)).collect();
    assert!(text.lines().count() >= 11);
    for name in text.lines() {
        assert!(ours.contains(&name), "{name}");
    }
    // And every name under which the store's client is known.
    for name in ours.iter().filter(|name| name.starts_with("xenstore") && **name != "xenstored") {
        assert!(text.lines().any(|line| line == *name), "{name}");
    }
}

/// What the script for grub-mkconfig prints for a folder in the place of /boot.
fn grub(dir: &Path, boot: &[(&str, &str)], settings: &[(&str, &str)]) -> String {
    const LIB: &str = "grub_quote() { sed \"s/'/'\\\\\\\\''/g\"; }\nsave_default_entry() { :; }\n\
        prepare_grub_to_access_device() { echo \"search --set=root $1\"; }\n\
        make_system_path_relative_to_its_root() { echo \"${1%/}\"; }\n";
    let place = dir.join("boot");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).unwrap();
    for (name, text) in boot {
        fs::write(place.join(name), text).unwrap();
    }
    fs::write(dir.join("grub-mkconfig_lib"), LIB).unwrap();
    let script = include_str!("files/hypervisor/20_linux_ferroxen").replace("/boot", &place.to_string_lossy());
    let file = dir.join("20_linux_ferroxen");
    fs::write(&file, script).unwrap();
    let mut cmd = Command::new("sh");
    cmd.arg(&file).env("pkgdatadir", dir).env("GRUB_DEVICE", "/dev/vda2").env("GRUB_DISTRIBUTOR", "Debian");
    cmd.env("LC_ALL", "C").envs(settings.iter().copied());
    output(&mut cmd).unwrap().replace(&*place.to_string_lossy(), "/boot")
}

const BOOT: &[(&str, &str)] = &[
    ("ferroxen-0.9.0.gz", ""),
    ("ferroxen-0.10.0.gz", ""),
    ("vmlinuz-6.1.0-9-amd64", ""),
    ("config-6.1.0-9-amd64", "CONFIG_XEN_DOM0=y\n"),
    ("vmlinuz-6.1.0-10-amd64", ""),
    ("config-6.1.0-10-amd64", "CONFIG_XEN_DOM0=y\n"),
    ("initrd.img-6.1.0-10-amd64", ""),
    ("vmlinuz-6.1.0-10-cloud-amd64", ""),
    ("config-6.1.0-10-cloud-amd64", "# CONFIG_XEN_DOM0 is not set\n"),
];

#[test]
fn grub_gets_an_entry_for_the_newest_and_a_menu_of_all() {
    let dir = Dir::new("grub");
    let text = grub(&dir.0, BOOT, &[("GRUB_CMDLINE_XEN", "dom0_mem=1G"), ("GRUB_CMDLINE_LINUX", "console=hvc0")]);
    let first = text.split("\n}\n").next().unwrap();
    assert!(first.starts_with("menuentry 'Debian GNU/Linux, with Ferroxen hypervisor' --class debian "), "{first}");
    for line in [
        "$menuentry_id_option 'ferroxen' {",
        "\tsearch --set=root /dev/vda2",
        "\tmultiboot2 /boot/ferroxen-0.10.0.gz dom0_mem=1G ",
        "\tmodule2 --nounzip /boot/vmlinuz-6.1.0-10-amd64 root=/dev/vda2 ro console=hvc0 ",
        "\tmodule2 --nounzip /boot/initrd.img-6.1.0-10-amd64",
    ] {
        assert!(first.contains(line), "{line} is not in {first}");
    }
    assert_eq!(text.matches("menuentry '").count(), 1 + 2 * 2 * 2);
    assert_eq!(text.matches("-recovery' {").count(), 4);
    assert!(!text.contains("cloud"));
    assert_eq!(text.matches(" {\n").count(), text.lines().filter(|line| line.trim() == "}").count());
}

#[test]
fn settings_for_ferroxen_come_before_those_for_xen() {
    let dir = Dir::new("settings");
    let settings = [
        ("GRUB_CMDLINE_XEN", "old"),
        ("GRUB_CMDLINE_FERROXEN", ""),
        ("GRUB_CMDLINE_FERROXEN_DEFAULT", "console=com1"),
        ("GRUB_CMDLINE_LINUX", "bare"),
        ("GRUB_CMDLINE_LINUX_XEN_REPLACE", "console=hvc0"),
        ("GRUB_DISABLE_SUBMENU", "true"),
        ("GRUB_DISABLE_RECOVERY", "true"),
        ("GRUB_DISTRIBUTOR", "Bob's"),
    ];
    let text = grub(&dir.0, BOOT, &settings);
    assert!(text.contains(".gz  console=com1\n") && !text.contains("old") && !text.contains("bare"), "{text}");
    assert!(text.contains(" ro console=hvc0"));
    assert!(text.starts_with("menuentry 'Bob'\\''s GNU/Linux, with"), "{text}");
    assert!(!text.contains("submenu") && !text.contains("recovery"));
}

#[test]
fn without_a_hypervisor_grub_gets_nothing() {
    let dir = Dir::new("nothing");
    assert_eq!(grub(&dir.0, &BOOT[2..], &[]), "");
    assert_eq!(grub(&dir.0, &BOOT[..2], &[]), "");
}
