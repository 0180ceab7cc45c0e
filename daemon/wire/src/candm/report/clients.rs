//! The clients of the server.

use crate::candm::address::Address;
use crate::candm::cursor::{BadField, Cursor, Writer};

/// Reports some clients of the server (chrony command protocol, CLIENT_ACCESSES_BY_INDEX3 reply).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientAccesses {
    /// The number of records in the daemon's table.
    pub indices: u32,
    /// The first index that was not examined; where to continue.
    pub next_index: u32,
    /// The clients found, at most [`ClientAccesses::CLIENTS_MAX`]; more are not sent.
    pub clients: Vec<ClientAccess>,
}

/// Counts what one client of the server did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClientAccess {
    /// The client.
    pub address: Address,
    /// NTP requests.
    pub ntp_hits: u32,
    /// NTS key establishment connections.
    pub nke_hits: u32,
    /// Command requests.
    pub cmd_hits: u32,
    /// NTP requests dropped.
    pub ntp_drops: u32,
    /// NTS key establishment connections dropped.
    pub nke_drops: u32,
    /// Command requests dropped.
    pub cmd_drops: u32,
    /// The average interval between NTP requests, log2 s; `None` if unknown.
    pub ntp_interval_log2_s: Option<i8>,
    /// The average interval between NTS key establishment connections, log2 s.
    pub nke_interval_log2_s: Option<i8>,
    /// The average interval between command requests, log2 s.
    pub cmd_interval_log2_s: Option<i8>,
    /// The average interval between NTP requests that were not answered, log2 s.
    pub ntp_timeout_interval_log2_s: Option<i8>,
    /// The age of the last NTP request, seconds; `None` if there was none.
    pub last_ntp_hit_ago_s: Option<u32>,
    /// The age of the last NTS key establishment connection, seconds.
    pub last_nke_hit_ago_s: Option<u32>,
    /// The age of the last command request, seconds.
    pub last_cmd_hit_ago_s: Option<u32>,
}

/// The interval that stands for "unknown".
const UNKNOWN_INTERVAL: i8 = 127;

impl ClientAccesses {
    /// The number of clients that fit one reply.
    pub const CLIENTS_MAX: usize = 8;

    pub(in crate::candm) fn write(&self, writer: &mut Writer) {
        let clients = self.clients.get(..Self::CLIENTS_MAX).unwrap_or(&self.clients);
        writer.u32(self.indices);
        writer.u32(self.next_index);
        writer.u32(u32::try_from(clients.len()).unwrap_or(0));
        for client in clients {
            client.write(writer);
        }
    }

    pub(in crate::candm) fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let field = "number of clients";
        let indices = cursor.u32("number of indices")?;
        let next_index = cursor.u32("next index")?;
        let clients = usize::try_from(cursor.u32(field)?).unwrap_or(usize::MAX);
        if clients > Self::CLIENTS_MAX {
            return Err(BadField(field));
        }
        let clients = (0..clients)
            .map(|_| ClientAccess::read(cursor))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            indices,
            next_index,
            clients,
        })
    }
}

impl ClientAccess {
    fn write(&self, writer: &mut Writer) {
        writer.address(self.address);
        writer.u32(self.ntp_hits);
        writer.u32(self.nke_hits);
        writer.u32(self.cmd_hits);
        writer.u32(self.ntp_drops);
        writer.u32(self.nke_drops);
        writer.u32(self.cmd_drops);
        for interval in [
            self.ntp_interval_log2_s,
            self.nke_interval_log2_s,
            self.cmd_interval_log2_s,
            self.ntp_timeout_interval_log2_s,
        ] {
            writer.i8(interval.unwrap_or(UNKNOWN_INTERVAL));
        }
        writer.age(self.last_ntp_hit_ago_s);
        writer.age(self.last_nke_hit_ago_s);
        writer.age(self.last_cmd_hit_ago_s);
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let interval = |cursor: &mut Cursor<'_>| {
            cursor
                .i8("interval")
                .map(|interval| (interval != UNKNOWN_INTERVAL).then_some(interval))
        };
        Ok(Self {
            address: cursor.address("client address")?,
            ntp_hits: cursor.u32("NTP hits")?,
            nke_hits: cursor.u32("NTS-KE hits")?,
            cmd_hits: cursor.u32("command hits")?,
            ntp_drops: cursor.u32("NTP drops")?,
            nke_drops: cursor.u32("NTS-KE drops")?,
            cmd_drops: cursor.u32("command drops")?,
            ntp_interval_log2_s: interval(cursor)?,
            nke_interval_log2_s: interval(cursor)?,
            cmd_interval_log2_s: interval(cursor)?,
            ntp_timeout_interval_log2_s: interval(cursor)?,
            last_ntp_hit_ago_s: cursor.age("age of last NTP hit")?,
            last_nke_hit_ago_s: cursor.age("age of last NTS-KE hit")?,
            last_cmd_hit_ago_s: cursor.age("age of last command hit")?,
        })
    }
}
