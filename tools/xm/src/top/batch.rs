//! `xm top -b`: as Xen's `xentop -b` prints.

use super::columns::{COLUMNS, cell, width};
use super::figures::{Figures, Row};
use super::{NAME_WIDTH, Settings, clean};

/// The titles.
pub fn header(name_width: usize) -> String {
    let titles = COLUMNS.iter().map(|column| clean::right(column.title, width(column, name_width)));
    titles.collect::<Vec<_>>().join(" ")
}

/// How wide names are shown.
pub fn name_width(settings: &Settings, rows: &[Row]) -> usize {
    let longest = || rows.iter().map(|row| clean::columns(&row.name)).max().unwrap_or(0);
    if settings.full_name { longest().max(NAME_WIDTH) } else { NAME_WIDTH }
}

/// One round.
pub fn text(settings: &Settings, figures: &Figures) -> String {
    let width = name_width(settings, &figures.rows);
    let header = header(width);
    let mut rows: Vec<&Row> = figures.rows.iter().collect();
    settings.sorting.sort(&mut rows);
    let mut lines = Vec::new();
    for (at, row) in rows.into_iter().enumerate() {
        if at == 0 || settings.repeat_header {
            lines.push(header.clone());
        }
        lines.push(COLUMNS.iter().map(|column| cell(column, row, width)).collect::<Vec<_>>().join(" "));
        lines.extend(settings.details.lines(row));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::clean::Charset;
    use crate::top::columns::Details;
    use crate::top::figures::tests::{machine, ran};
    use std::time::Duration;
    use xenstat::collect::collect;
    use xenstat::fake::{Fake, domain};

    fn figures() -> Figures {
        let mut figures = Figures::new(Charset::Ascii);
        for second in [1, 3] {
            let mut machine = machine(vec![ran(0, second * 1000), ran(3, second * 500)], "a-guest-with-a-long-name");
            figures.take(collect(&mut machine), Duration::from_secs(second));
        }
        figures
    }

    /// `xentop -b` of Xen 4.17 printed the header, and lines like the others, with other numbers.
    const HEADER: &str = "      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS NETS NETTX(k) NETRX(k) VBDS   VBD_OO   VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID\n";
    const GUEST: &str = "a-guest-wi --b---          1   50.0       4096    0.1       4096       0.1     1    1        0        1    1        0       10       20         80        160    0\n";
    const DOM0: &str = "    (null) -----r          3  100.0       1024    0.0   no limit       n/a     1    0        0        0    0        0        0        0          0          0    0\n";

    #[test]
    fn a_round_is_as_xens_own_tool_prints_it() {
        assert_eq!(text(&Settings::default(), &figures()), format!("{HEADER}{DOM0}{GUEST}"));
        let names = Settings { full_name: true, ..Settings::default() };
        let first = text(&names, &figures());
        assert!(first.starts_with(&format!("{}{HEADER}{}{DOM0}", " ".repeat(14), " ".repeat(14))), "{first}");
        assert!(first.contains("\na-guest-with-a-long-name --b---          1   50.0"), "{first}");
    }

    #[test]
    fn details_stand_below_their_domain() {
        let details = Details { vcpus: true, networks: true, disks: true };
        let settings = Settings { details, repeat_header: true, ..Settings::default() };
        let vcpus = "VCPUs(sec):   0:          1s\n";
        let net = "Net0 RX:     2000bytes       20pkts        0err        0drop  TX:     1000bytes       10pkts        0err        1drop\n";
        let vbd = "VBD BlkBack 51712 [ca: 0]  OO:        0   RD:       10   WR:       20   RSECT:         80   WSECT:        160\n";
        assert_eq!(text(&settings, &figures()), format!("{HEADER}{DOM0}{vcpus}{HEADER}{GUEST}{vcpus}{net}{vbd}"));
    }

    #[test]
    fn a_disk_that_nobody_uses_yet_has_no_counts() {
        let mut machine = machine(vec![domain(3, 1)], "guest");
        machine.disks.iter_mut().for_each(|disk| disk.counts = false);
        let mut figures = Figures::new(Charset::Ascii);
        figures.take(collect(&mut machine), Duration::from_secs(1));
        let settings = Settings { details: Details { disks: true, ..Details::default() }, ..Settings::default() };
        let text = text(&settings, &figures);
        assert!(text.contains("    1        -        -        -          -          -    0\n"), "{text}");
        let vbd = "VBD BlkBack 51712 [ca: 0]  OO:        -   RD:        -   WR:        -   RSECT:          -   WSECT:          -\n";
        assert!(text.ends_with(vbd), "{text}");
    }

    #[test]
    fn rows_are_in_order() {
        let order = |settings: &Settings| {
            let mut figures = Figures::new(Charset::Ascii);
            for second in [1, 2] {
                let domains = vec![ran(0, second * 100), ran(4, second * 900), ran(3, second * 500)];
                figures.take(
                    collect(&mut Fake { name: "Guest".into(), ..machine(domains, "") }),
                    Duration::from_secs(second),
                );
            }
            let mut rows: Vec<&Row> = figures.rows.iter().collect();
            settings.sorting.sort(&mut rows);
            rows.iter().map(|row| row.domid()).collect::<Vec<_>>()
        };
        let mut settings = Settings::default();
        assert_eq!(order(&settings), [0, 3, 4], "by name, then by number");
        settings.sorting.by = COLUMNS.iter().position(|column| column.title == "CPU(%)").unwrap_or(0);
        assert_eq!(order(&settings), [4, 3, 0]);
        settings.sorting.dom0_first = true;
        assert_eq!(order(&settings), [0, 4, 3]);
        settings.sorting.reverse = true;
        assert_eq!(order(&settings), [0, 3, 4]);
        settings.sorting = Default::default();
        for (at, column) in COLUMNS.iter().enumerate() {
            settings.sorting.by = at;
            settings.sorting.reverse = false;
            let forth = order(&settings);
            settings.sorting.reverse = true;
            assert_eq!(order(&settings).len(), forth.len(), "{}", column.title);
        }
    }
}
