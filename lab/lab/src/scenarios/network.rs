//! Machines that talk to each other.

use anyhow::Result;

use crate::scenario::{Lab, STEP, Scenario};

/// Two dom0s with a cable between their cards: one serves a file, the other fetches it and compares.
pub const CABLE: Scenario =
    Scenario { name: "two_machines_talk_over_a_cable", full: true, cpus: 2, single: false, run: cable };

fn cable(lab: &Lab<'_>) -> Result<()> {
    let machine = lab.machine("dom0-lan")?;
    let running = lab.start_all(&[("server", &machine), ("client", &machine)])?;
    let [server, client] = running.as_slice() else { anyhow::bail!("two machines were asked for") };
    lab.together(&[
        ("server", &|meeting| {
            server.must("ip addr add 192.0.2.1/24 dev eth0; ip link set eth0 up", STEP)?;
            server.must("mkdir -p /tmp/www; dd if=/dev/urandom of=/tmp/www/file bs=64k count=16 2>/dev/null", STEP)?;
            server.must("cd /tmp/www; md5sum file >sum; httpd -p 80 -h /tmp/www", STEP)?;
            meeting.wait("the server listens", 2 * STEP)?;
            meeting.wait("the client has the file", 3 * STEP)?;
            server.power_off()
        }),
        ("client", &|meeting| {
            client.must("ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up", STEP)?;
            meeting.wait("the server listens", 2 * STEP)?;
            client.must("ping -q -c 3 -W 20 192.0.2.1", STEP)?.says(&["3 packets received"])?;
            client.must("cd /tmp; wget -q http://192.0.2.1/file; wget -q http://192.0.2.1/sum; md5sum -c sum", STEP)?;
            meeting.wait("the client has the file", STEP)?;
            client.power_off()
        }),
    ])
}
