//! The request to add a source, with the fields of its configuration directive.

use super::command::REQUEST_HEADER_LENGTH;
use super::cursor::{BadField, Cursor, Writer};
use super::source_name::SourceName;

/// The length of the name field of ADD_SOURCE, NUL included, in bytes.
const NAME_FIELD_LENGTH: usize = 256;

/// Says what kind of source to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NewSourceKind {
    /// One server, asked in client mode.
    Server,
    /// A symmetric peer.
    Peer,
    /// A name with many servers, of which several are used.
    Pool,
}

/// Describes a source to add, with the fields of its configuration directive.
///
/// [`AddSource::new`] fills in what `chronyc` sends when no option is given.
#[derive(Debug, Clone, PartialEq)]
pub struct AddSource {
    /// What kind of source it is.
    pub kind: NewSourceKind,
    /// Its host name or address.
    pub name: SourceName,
    /// The UDP port, 0…65535.
    pub port: u32,
    /// The minimum polling interval, log2 s.
    pub min_poll_log2_s: i32,
    /// The maximum polling interval, log2 s.
    pub max_poll_log2_s: i32,
    /// The polling interval from which an extra packet is sent first, log2 s; 100 is off.
    pub presend_min_poll_log2_s: i32,
    /// The stratum the source has at least.
    pub min_stratum: u32,
    /// The number of samples that polling aims for.
    pub poll_target: u32,
    /// The NTP version, 1…4; 0 is automatic.
    pub version: u32,
    /// The number of sources a pool uses, 1…16.
    pub max_sources: u32,
    /// The least number of samples kept; −1 is the global setting.
    pub min_samples: i32,
    /// The largest number of samples kept; −1 is the global setting.
    pub max_samples: i32,
    /// The symmetric key; 0 is none.
    pub key_id: u32,
    /// The TCP port of NTS key establishment.
    pub nts_port: u32,
    /// The largest acceptable delay, seconds.
    pub max_delay_s: f64,
    /// The largest acceptable ratio of delay to minimum delay; 0 is off.
    pub max_delay_ratio: f64,
    /// The largest acceptable ratio of delay increase to deviation.
    pub max_delay_dev_ratio: f64,
    /// The minimum delay, seconds; 0 estimates it.
    pub min_delay_s: f64,
    /// The asymmetry of the delay's jitter, −0.5…0.5; 1.0 estimates it.
    pub asymmetry: f64,
    /// The correction added to measured offsets, seconds.
    pub offset_s: f64,
    /// Flags.
    pub flags: SourceFlags,
    /// The number of polls combined by the median filter; 0 is off.
    pub filter_length: i32,
    /// The set of trusted certificates.
    pub cert_set: u32,
    /// The quantile of delay that is acceptable, 0.05…0.95; 0 is off. Since chrony 4.3.
    pub max_delay_quantile: f64,
    /// How many polls an unreachable source may stay selected. Since chrony 4.8; older clients
    /// send 0.
    pub max_unreach: i32,
}

impl AddSource {
    /// Returns a source with the values `chronyc` sends when no option is given.
    pub fn new(kind: NewSourceKind, name: SourceName) -> Self {
        Self {
            kind,
            name,
            port: 123,
            min_poll_log2_s: 6,
            max_poll_log2_s: 10,
            presend_min_poll_log2_s: 100,
            min_stratum: 0,
            poll_target: 8,
            version: 0,
            max_sources: 4,
            min_samples: -1,
            max_samples: -1,
            key_id: 0,
            nts_port: 4460,
            max_delay_s: 3.0,
            max_delay_ratio: 0.0,
            max_delay_dev_ratio: 10.0,
            min_delay_s: 0.0,
            asymmetry: 1.0,
            offset_s: 0.0,
            flags: SourceFlags::ONLINE,
            filter_length: 0,
            cert_set: 0,
            max_delay_quantile: 0.0,
            max_unreach: 100_000,
        }
    }
}

/// Holds the flags of a source to add; bits without a name are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SourceFlags(pub u32);

impl SourceFlags {
    /// Polled from the start.
    pub const ONLINE: Self = Self(0x1);
    /// Goes offline when sending fails.
    pub const AUTO_OFFLINE: Self = Self(0x2);
    /// Starts with a burst.
    pub const IBURST: Self = Self(0x4);
    /// Preferred over sources without this flag.
    pub const PREFER: Self = Self(0x8);
    /// Never selected.
    pub const NOSELECT: Self = Self(0x10);
    /// Trusted to be right.
    pub const TRUST: Self = Self(0x20);
    /// One of these has to be selectable.
    pub const REQUIRE: Self = Self(0x40);
    /// Uses the interleaved mode.
    pub const XLEAVE: Self = Self(0x80);
    /// Sends a burst on each poll.
    pub const BURST: Self = Self(0x100);
    /// Authenticates with NTS.
    pub const NTS: Self = Self(0x200);
    /// Takes over reference id and stratum.
    pub const COPY: Self = Self(0x400);
    /// Sends the extension field F323 (monotonic root).
    pub const EXTENSION_MONO_ROOT: Self = Self(0x800);
    /// Sends the extension field 10A (network correction).
    pub const EXTENSION_NET_CORRECTION: Self = Self(0x1000);
    /// Only IPv4 addresses of the name.
    pub const IPV4: Self = Self(0x2000);
    /// Only IPv6 addresses of the name.
    pub const IPV6: Self = Self(0x4000);

    /// Reports whether all of `flags` are set.
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Returns these flags and those of `flags`.
    #[must_use]
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// Returns these flags except those of `flags`.
    #[must_use]
    pub const fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }
}

impl NewSourceKind {
    const fn code(self) -> u32 {
        match self {
            Self::Server => 1,
            Self::Peer => 2,
            Self::Pool => 3,
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let field = "source type";
        match cursor.u32(field)? {
            1 => Ok(Self::Server),
            2 => Ok(Self::Peer),
            3 => Ok(Self::Pool),
            _ => Err(BadField(field)),
        }
    }
}

impl AddSource {
    /// The field whose error has a status of its own.
    pub(super) const NAME: &'static str = "name";

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u32(self.kind.code());
        writer.put(self.name.as_str().as_bytes());
        writer.zeros_to(REQUEST_HEADER_LENGTH + 4 + NAME_FIELD_LENGTH);
        writer.u32(self.port);
        writer.i32(self.min_poll_log2_s);
        writer.i32(self.max_poll_log2_s);
        writer.i32(self.presend_min_poll_log2_s);
        writer.u32(self.min_stratum);
        writer.u32(self.poll_target);
        writer.u32(self.version);
        writer.u32(self.max_sources);
        writer.i32(self.min_samples);
        writer.i32(self.max_samples);
        writer.u32(self.key_id);
        writer.u32(self.nts_port);
        writer.float(self.max_delay_s);
        writer.float(self.max_delay_ratio);
        writer.float(self.max_delay_dev_ratio);
        writer.float(self.min_delay_s);
        writer.float(self.asymmetry);
        writer.float(self.offset_s);
        writer.u32(self.flags.0);
        writer.i32(self.filter_length);
        writer.u32(self.cert_set);
        writer.float(self.max_delay_quantile);
        writer.i32(self.max_unreach);
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            kind: NewSourceKind::read(cursor)?,
            name: SourceName::from_field(cursor.take(NAME_FIELD_LENGTH, Self::NAME)?)
                .ok_or(BadField(Self::NAME))?,
            port: cursor.u32("port")?,
            min_poll_log2_s: cursor.i32("minimum poll")?,
            max_poll_log2_s: cursor.i32("maximum poll")?,
            presend_min_poll_log2_s: cursor.i32("presend poll")?,
            min_stratum: cursor.u32("minimum stratum")?,
            poll_target: cursor.u32("poll target")?,
            version: cursor.u32("version")?,
            max_sources: cursor.u32("maximum sources")?,
            min_samples: cursor.i32("minimum samples")?,
            max_samples: cursor.i32("maximum samples")?,
            key_id: cursor.u32("key")?,
            nts_port: cursor.u32("NTS port")?,
            max_delay_s: cursor.float("maximum delay")?,
            max_delay_ratio: cursor.float("maximum delay ratio")?,
            max_delay_dev_ratio: cursor.float("maximum delay deviation ratio")?,
            min_delay_s: cursor.float("minimum delay")?,
            asymmetry: cursor.float("asymmetry")?,
            offset_s: cursor.float("offset")?,
            flags: SourceFlags(cursor.u32("flags")?),
            filter_length: cursor.i32("filter length")?,
            cert_set: cursor.u32("certificate set")?,
            max_delay_quantile: cursor.float("maximum delay quantile")?,
            max_unreach: cursor.i32("maximum unreachable polls")?,
        })
    }
}
