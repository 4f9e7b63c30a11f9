//! The columns, under the names and with the widths of Xen's `xentop`: scripts read them.

use super::clean::{cut, right};
use super::figures::Row;
use std::cmp::Ordering;
use xenstat::snapshot::{Nic, Traffic};

/// Bytes of a sector, as block devices count.
const SECTOR: u64 = 512;

/// A column.
#[derive(Debug)]
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// How wide it is, but for longer numbers.
    pub width: usize,
    /// What stands in it.
    pub text: fn(&Row) -> String,
    /// What comes first: the most, but of names the first.
    pub order: fn(&Row, &Row) -> Ordering,
}

/// Behind this column bars are drawn.
pub const LOAD: usize = 3;

/// Most first.
fn most<T: PartialOrd>(a: T, b: T) -> Ordering {
    b.partial_cmp(&a).unwrap_or(Ordering::Equal)
}

const fn column(
    title: &'static str,
    width: usize,
    text: fn(&Row) -> String,
    order: fn(&Row, &Row) -> Ordering,
) -> Column {
    Column { title, width, text, order }
}

/// A column of whole numbers.
macro_rules! number {
    ($title:literal, $width:literal, $value:expr) => {
        column(
            $title,
            $width,
            |row| {
                let value: fn(&Row) -> u64 = $value;
                value(row).to_string()
            },
            |a, b| {
                let value: fn(&Row) -> u64 = $value;
                most(value(a), value(b))
            },
        )
    };
}

/// A column of sums over disks; `-` where one does not count.
macro_rules! of_disks {
    ($title:literal, $width:literal, $value:expr) => {
        Column {
            text: |row| match row.disks.iter().all(|disk| disk.counts) {
                true => row.of_disks($value).to_string(),
                false => "-".to_owned(),
            },
            ..number!($title, $width, |row| row.of_disks($value))
        }
    };
}

/// All of them, in order.
pub const COLUMNS: &[Column] = &[
    column("NAME", 10, |row| row.name.clone(), |a, b| a.name.to_lowercase().cmp(&b.name.to_lowercase())),
    column("STATE", 6, |row| row.state.clone(), |a, b| most(states(a), states(b))),
    number!("CPU(sec)", 10, |row| row.cpu_ns / 1_000_000_000),
    column("CPU(%)", 6, |row| format!("{:.1}", row.cpu_percent), |a, b| most(a.cpu_percent, b.cpu_percent)),
    number!("MEM(k)", 10, |row| row.memory_kib),
    column("MEM(%)", 6, |row| format!("{:.1}", row.memory_percent), |a, b| most(a.memory_kib, b.memory_kib)),
    column(
        "MAXMEM(k)",
        10,
        |row| row.most_kib.map_or("no limit".to_owned(), |most| most.to_string()),
        |a, b| most(limit(a), limit(b)),
    ),
    column(
        "MAXMEM(%)",
        9,
        |row| row.most_percent.map_or("n/a".to_owned(), |percent| format!("{percent:.1}")),
        |a, b| most(limit(a), limit(b)),
    ),
    number!("VCPUS", 5, |row| u64::from(row.online)),
    number!("NETS", 4, |row| row.nics.len() as u64),
    number!("NETTX(k)", 8, |row| row.of_nics(|nic| got(nic).bytes) / 1024),
    number!("NETRX(k)", 8, |row| row.of_nics(|nic| sent(nic).bytes) / 1024),
    number!("VBDS", 4, |row| row.disks.len() as u64),
    of_disks!("VBD_OO", 8, |disk| disk.out_of_requests.unwrap_or(0)),
    of_disks!("VBD_RD", 8, |disk| disk.requests.read),
    of_disks!("VBD_WR", 8, |disk| disk.requests.write),
    of_disks!("VBD_RSECT", 10, |disk| disk.read_bytes / SECTOR),
    of_disks!("VBD_WSECT", 10, |disk| disk.written_bytes / SECTOR),
    number!("SSID", 4, |row| u64::from(row.ssid)),
];

/// What `xentop` calls TX: what the backend transmitted, and the guest got.
fn got(nic: &Nic) -> &Traffic {
    &nic.received
}

/// What it calls RX.
fn sent(nic: &Nic) -> &Traffic {
    &nic.transmitted
}

/// Those that run first, then those that wait.
fn states(row: &Row) -> u8 {
    let letters = ['d', 's', 'c', 'p', 'b', 'r'];
    (0..).zip(letters).filter(|(_, letter)| row.state.contains(*letter)).map(|(at, _)| 1u8 << at).sum()
}

fn limit(row: &Row) -> u64 {
    row.most_kib.unwrap_or(u64::MAX)
}

/// A cell, as wide as its column or wider. Names end with the width that they are given.
pub fn cell(column: &Column, row: &Row, name_width: usize) -> String {
    let text = (column.text)(row);
    if column.title == "NAME" { right(cut(&text, name_width), name_width) } else { right(&text, column.width) }
}

/// How wide a column is.
pub fn width(column: &Column, name_width: usize) -> usize {
    if column.title == "NAME" { name_width } else { column.width }
}

/// How the rows are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sorting {
    /// By which column.
    pub by: usize,
    /// The other way round.
    pub reverse: bool,
    /// Domain 0 stays on top.
    pub dom0_first: bool,
}

impl Sorting {
    /// Puts rows in order; those that are alike by their numbers.
    pub fn sort(self, rows: &mut [&Row]) {
        let by = COLUMNS.get(self.by);
        rows.sort_by(|a, b| {
            let order = by.map_or(Ordering::Equal, |column| (column.order)(a, b));
            let order = if self.reverse { order.reverse() } else { order };
            let dom0 = if self.dom0_first { (a.domid() != 0).cmp(&(b.domid() != 0)) } else { Ordering::Equal };
            dom0.then(order).then(a.domid().cmp(&b.domid()))
        });
    }
}

/// What stands below a domain: its vcpus, network cards, disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Vcpus.
    pub vcpus: bool,
    /// Network cards.
    pub networks: bool,
    /// Disks.
    pub disks: bool,
}

impl Details {
    /// These lines, as `xentop` writes them.
    pub fn lines(self, row: &Row) -> Vec<String> {
        let mut lines = Vec::new();
        if self.vcpus {
            let online: Vec<_> = row.vcpus.iter().filter(|vcpu| vcpu.online).collect();
            // Five in a line.
            for (at, some) in online.chunks(5).enumerate() {
                let begin = if at == 0 { "VCPUs(sec): " } else { "        " };
                let each = some.iter().map(|vcpu| format!(" {:>2}: {:>10}s", vcpu.id, vcpu.running / 1_000_000_000));
                lines.push(format!("{begin}{}", each.collect::<String>()));
            }
        }
        if self.networks {
            for nic in &row.nics {
                let way = |name: &str, traffic: &Traffic| {
                    let Traffic { bytes, packets, dropped, errors } = traffic;
                    format!("{name}: {bytes:>8}bytes {packets:>8}pkts {errors:>8}err {dropped:>8}drop  ")
                };
                let (received, transmitted) = (way("RX", sent(nic)), way("TX", got(nic)));
                lines.push(format!("Net{} {received}{transmitted}", nic.device).trim_end().to_owned());
            }
        }
        if self.disks {
            for disk in &row.disks {
                let kind = if disk.backend == "vbd" { "BlkBack" } else { "QDisk" };
                let told = |number: u64| if disk.counts { number.to_string() } else { "-".to_owned() };
                let (major, minor) = (disk.number >> 8 & 0xff, disk.number & 0xff);
                lines.push(format!(
                    "VBD {kind} {:>4} [{major:>2x}:{minor:>2x}]  OO: {:>8}   RD: {:>8}   WR: {:>8}   RSECT: {:>10}   WSECT: {:>10}",
                    disk.number,
                    told(disk.out_of_requests.unwrap_or(0)),
                    told(disk.requests.read),
                    told(disk.requests.write),
                    told(disk.read_bytes / SECTOR),
                    told(disk.written_bytes / SECTOR),
                ));
            }
        }
        lines
    }
}
