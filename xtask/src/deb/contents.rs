//! What is in the two packages.

use std::path::PathBuf;

use super::package::{Item, Package};

/// What the packages are made from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The version of both packages.
    pub version: String,
    /// The version in the hypervisor's file name: that of the release.
    pub release: String,
    /// The hypervisor's bytes.
    pub hypervisor: Vec<u8>,
    /// Programs: name, file.
    pub programs: Vec<(String, PathBuf)>,
    /// Other names of programs: name, program.
    pub links: Vec<(&'static str, &'static str)>,
    /// xm's manual page.
    pub manual: String,
    /// xen-exporter's.
    pub exporter_manual: String,
    /// Completion for bash, zsh, fish.
    pub completions: [String; 3],
    /// Documentation: name, text.
    pub documents: Vec<(String, String)>,
    /// CHANGELOG.md.
    pub changelog: String,
    /// The texts of both licences.
    pub licences: [String; 2],
}

const NAMES: &str = include_str!("files/tools/names.sh");

fn fields(section: &str, relations: &[(&'static str, &str)], description: &str) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("Maintainer", "Ferroxen developers <ferroxen@localhost>".to_owned()),
        ("Section", section.to_owned()),
        ("Priority", "optional".to_owned()),
    ];
    fields.extend(relations.iter().map(|(name, value)| (*name, (*value).to_owned())));
    fields.push(("Description", description.to_owned()));
    fields
}

/// What both packages have in `usr/share/doc`.
fn papers(name: &str, inputs: &Inputs) -> Vec<Item> {
    let at = |file: &str| format!("usr/share/doc/{name}/{file}");
    let mut copyright = String::from(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: Ferroxen\n\n\
         Files: *\nCopyright: the Ferroxen developers\nLicense: Expat or Apache-2.0\n",
    );
    for (title, text) in ["Expat", "Apache-2.0"].iter().zip(&inputs.licences) {
        copyright.push_str(&format!("\nLicense: {title}\n"));
        for line in text.trim().lines() {
            let line = line.trim_end();
            copyright.push_str(&if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") });
        }
    }
    vec![Item::text(&at("copyright"), 0o644, copyright), Item::packed(&at("changelog.gz"), &inputs.changelog)]
}

/// The hypervisor, beside whatever else the machine boots.
pub fn hypervisor(inputs: &Inputs) -> Package {
    const NAME: &str = "ferroxen-hypervisor";
    let mut items = vec![
        Item::packed(&format!("boot/ferroxen-{}.gz", inputs.release), &inputs.hypervisor),
        Item::text("etc/grub.d/20_linux_ferroxen", 0o755, include_str!("files/hypervisor/20_linux_ferroxen")),
        Item::text("etc/default/grub.d/ferroxen.cfg", 0o644, include_str!("files/hypervisor/ferroxen.cfg")),
    ];
    items.extend(papers(NAME, inputs));
    Package {
        name: NAME,
        version: inputs.version.clone(),
        fields: fields(
            "kernel",
            &[
                ("Recommends", "grub2-common, ferroxen-tools | xen-utils-4.17"),
                ("Enhances", "xen-utils-4.17, xen-utils-common"),
            ],
            "Xen-compatible hypervisor in Rust\n Ferroxen speaks Xen's ABI for guests and for tools: Debian's kernels \
             run on it,\n as control domain and as guests, and Debian's Xen tools drive it.\n .\n It is installed beside \
             everything else that the machine boots; GRUB gets\n entries for it.",
        ),
        scripts: vec![
            ("postinst", include_str!("files/hypervisor/postinst").to_owned()),
            ("postrm", include_str!("files/hypervisor/postrm").to_owned()),
        ],
        triggers: "",
        items,
    }
}

/// The tools, beside Debian's.
pub fn tools(inputs: &Inputs) -> Package {
    const NAME: &str = "ferroxen-tools";
    const BIN: &str = "usr/lib/ferroxen/bin";
    let unit = |name: &str, text: &str| Item::text(&format!("usr/lib/systemd/system/{name}"), 0o644, text);
    // dpkg alone puts these two where systemd looks, and only while our tools are chosen.
    let chosen = |name: &str, text: &str| Item::text(&format!("usr/lib/ferroxen/systemd/{name}"), 0o644, text);
    let [bash, zsh, fish] = &inputs.completions;
    let mut items = vec![
        Item::link("usr/sbin/xm", "../lib/ferroxen/bin/xm"),
        Item::link("usr/bin/blkimg", "../lib/ferroxen/bin/blkimg"),
        Item::link("usr/sbin/xen-exporter", "../lib/ferroxen/bin/xen-exporter"),
        Item::text("usr/lib/ferroxen/prepare", 0o755, include_str!("files/tools/prepare")),
        Item::text("usr/lib/ferroxen/guests", 0o755, include_str!("files/tools/guests")),
        unit("xenstored.service", include_str!("files/tools/xenstored.service")),
        unit("xen-init-dom0.service", include_str!("files/tools/xen-init-dom0.service")),
        unit("xenconsoled.service", include_str!("files/tools/xenconsoled.service")),
        // Started by those who want it: `systemctl enable --now xen-exporter`.
        unit("xen-exporter.service", include_str!("files/tools/xen-exporter.service")),
        chosen("xen.service", include_str!("files/tools/xen.service")),
        chosen("xendomains.service", include_str!("files/tools/xendomains.service")),
        // By name: where Debian's are chosen, these are what systemd makes of its init scripts, which start at boot as well.
        // (`systemctl enable` would put links to ours into /etc, above all others.)
        Item::link("usr/lib/systemd/system/multi-user.target.wants/xen.service", "../xen.service"),
        Item::link("usr/lib/systemd/system/multi-user.target.wants/xendomains.service", "../xendomains.service"),
        Item::text("etc/default/ferroxen", 0o644, include_str!("files/tools/ferroxen.default")),
        Item::text("etc/logrotate.d/ferroxen-tools", 0o644, include_str!("files/tools/ferroxen.logrotate")),
        Item::folder("etc/xen/auto"),
        Item::packed("usr/share/man/man1/xm.1.gz", &inputs.manual),
        Item::packed("usr/share/man/man1/xen-exporter.1.gz", &inputs.exporter_manual),
        Item::text("usr/share/bash-completion/completions/xm", 0o644, bash),
        Item::text("usr/share/zsh/vendor-completions/_xm", 0o644, zsh),
        Item::text("usr/share/fish/vendor_completions.d/xm.fish", 0o644, fish),
        Item::text(&format!("usr/share/doc/{NAME}/examples/guest.cfg"), 0o644, include_str!("files/tools/guest.cfg")),
    ];
    items.extend(inputs.programs.iter().map(|(name, file)| Item::copy(&format!("{BIN}/{name}"), 0o755, file)));
    items.extend(inputs.links.iter().map(|(name, to)| Item::link(&format!("{BIN}/{name}"), to)));
    items.extend(
        inputs.documents.iter().map(|(name, text)| Item::text(&format!("usr/share/doc/{NAME}/{name}"), 0o644, text)),
    );
    items.extend(papers(NAME, inputs));
    let script = |text: &str| text.replace("@names@\n", NAMES);
    Package {
        name: NAME,
        version: inputs.version.clone(),
        fields: fields(
            "admin",
            &[
                ("Depends", "kmod"),
                ("Recommends", "ferroxen-hypervisor | xen-hypervisor-4.17-amd64"),
                ("Suggests", "bash-completion, logrotate"),
                ("Enhances", "xen-hypervisor-4.17-amd64"),
            ],
            "tools for Ferroxen and Xen in Rust\n The command xm, the daemons xenstored and xenconsoled, which lose nothing \
             when\n they are killed, and a block backend for qcow2 images. They run on Ferroxen\n and on Debian's Xen.\n .\n \
             They are installed beside Debian's tools; `update-alternatives --config xl`\n chooses whose answer to xl and \
             xenstore-*, and whose daemons start.",
        ),
        scripts: vec![
            ("preinst", script(include_str!("files/tools/preinst"))),
            ("postinst", script(include_str!("files/tools/postinst"))),
            ("prerm", script(include_str!("files/tools/prerm"))),
            ("postrm", script(include_str!("files/tools/postrm"))),
        ],
        // Debian's tools come or go.
        triggers: "interest-noawait /usr/lib/xen-common/bin/xen-utils-wrapper\n",
        items,
    }
}
