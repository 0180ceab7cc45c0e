//! The real-time clock of the machine, which runs on a battery while the machine is off: rtc(4).

use std::ffi::CString;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use crate::errno::check;

/// The type of the requests to a real-time clock (linux/rtc.h).
const TYPE: u32 = b'p' as u32;
/// Interrupt at each second of the clock.
const INTERRUPTS_ON: libc::Ioctl = libc::_IO(TYPE, 3);
/// No longer.
const INTERRUPTS_OFF: libc::Ioctl = libc::_IO(TYPE, 4);
/// Read the clock.
const READ_TIME: libc::Ioctl = libc::_IOR::<Fields>(TYPE, 9);
/// Set it.
const SET_TIME: libc::Ioctl = libc::_IOW::<Fields>(TYPE, 10);

/// What the fields of the clock are told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// UTC.
    Utc,
    /// The time zone of the host.
    Local,
}

/// The clock's fields, as its driver tells them (`struct rtc_time`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Fields {
    second: libc::c_int,
    minute: libc::c_int,
    hour: libc::c_int,
    /// From 1.
    day: libc::c_int,
    /// From 0.
    month: libc::c_int,
    /// From 1900.
    year: libc::c_int,
    /// These three nobody looks at.
    unused: [libc::c_int; 3],
}

/// An open real-time clock.
#[derive(Debug)]
pub struct Rtc {
    descriptor: OwnedFd,
    zone: Zone,
}

impl Rtc {
    /// Opens the clock with this device. One program at a time can.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(device: &Path, zone: Zone) -> io::Result<Self> {
        let path =
            CString::new(device.as_os_str().as_encoded_bytes()).map_err(|_| ErrorKind::InvalidInput)?;
        // Setting it takes a capability and not the right to write; some drivers want that all the same.
        // SAFETY: the pointer is to a text with its end marked, which lives through the call.
        let raw =
            check(unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC) })?;
        // SAFETY: `open` has just made this descriptor, and nobody else knows it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { descriptor, zone })
    }

    /// Has it be readable at each of its seconds, or no longer.
    ///
    /// # Errors
    /// What the system says: not every clock can.
    pub fn interrupt(&self, is_on: bool) -> io::Result<()> {
        let request = if is_on { INTERRUPTS_ON } else { INTERRUPTS_OFF };
        // SAFETY: takes no pointers, with these requests.
        check(unsafe { libc::ioctl(self.descriptor.as_raw_fd(), request) })?;
        Ok(())
    }

    /// Takes the interrupt for which it is readable.
    ///
    /// # Errors
    /// What the system says.
    pub fn take_interrupt(&self) -> io::Result<()> {
        let mut data: libc::c_ulong = 0;
        // SAFETY: the pointer is to as much room as given, which lives through the call.
        check(unsafe {
            libc::read(
                self.descriptor.as_raw_fd(),
                (&raw mut data).cast(),
                size_of::<libc::c_ulong>(),
            )
        })?;
        Ok(())
    }

    /// Reads it: the second that it is in, Unix seconds.
    ///
    /// # Errors
    /// What the system says, or `InvalidData` when it has no valid time.
    pub fn read(&self) -> io::Result<i64> {
        let mut fields = Fields::default();
        // SAFETY: the pointer is to fields of the layout that this request fills, which live through the call.
        check(unsafe { libc::ioctl(self.descriptor.as_raw_fd(), READ_TIME, &raw mut fields) })?;
        seconds(fields, self.zone).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// Sets it to this second, Unix seconds.
    ///
    /// # Errors
    /// What the system says, or `InvalidInput` for a time that has no fields.
    pub fn set(&self, seconds: i64) -> io::Result<()> {
        let fields = fields(seconds, self.zone).ok_or(ErrorKind::InvalidInput)?;
        // SAFETY: the pointer is to fields of the layout that this request reads, which live through the call.
        check(unsafe { libc::ioctl(self.descriptor.as_raw_fd(), SET_TIME, &raw const fields) })?;
        Ok(())
    }
}

impl AsFd for Rtc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The Unix time of some fields; of local ones, with the summer time that holds then.
#[allow(clippy::useless_conversion, reason = "the width differs between platforms")]
fn seconds(fields: Fields, zone: Zone) -> Option<i64> {
    // SAFETY: `tm` is made of integers and a pointer that is not followed, for which all zeros is a value.
    let mut broken = unsafe { MaybeUninit::<libc::tm>::zeroed().assume_init() };
    (broken.tm_sec, broken.tm_min, broken.tm_hour) = (fields.second, fields.minute, fields.hour);
    (broken.tm_mday, broken.tm_mon, broken.tm_year) = (fields.day, fields.month, fields.year);
    broken.tm_isdst = -1;
    let is_time = (0..=60).contains(&fields.second)
        && (0..60).contains(&fields.minute)
        && (0..24).contains(&fields.hour)
        && (1..=31).contains(&fields.day)
        && (0..12).contains(&fields.month);
    if !is_time {
        return None;
    }
    let seconds = match zone {
        // SAFETY: the pointer is to a whole `tm` that nothing else uses during the call.
        Zone::Utc => unsafe { libc::timegm(&raw mut broken) },
        // SAFETY: as above.
        Zone::Local => unsafe { libc::mktime(&raw mut broken) },
    };
    Some(i64::from(seconds))
}

/// The fields of a Unix time.
fn fields(seconds: i64, zone: Zone) -> Option<Fields> {
    let time = libc::time_t::try_from(seconds).ok()?;
    // SAFETY: as in `seconds`.
    let mut broken = unsafe { MaybeUninit::<libc::tm>::zeroed().assume_init() };
    let done = match zone {
        // SAFETY: the pointers are to a time and to a whole `tm`, which live through the call.
        Zone::Utc => unsafe { libc::gmtime_r(&raw const time, &raw mut broken) },
        // SAFETY: as above.
        Zone::Local => unsafe { libc::localtime_r(&raw const time, &raw mut broken) },
    };
    (!done.is_null()).then_some(Fields {
        second: broken.tm_sec,
        minute: broken.tm_min,
        hour: broken.tm_hour,
        day: broken.tm_mday,
        month: broken.tm_mon,
        year: broken.tm_year,
        unused: [0; 3],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_and_the_requests_are_those_of_the_kernel() {
        assert_eq!(size_of::<Fields>(), 36);
        assert_eq!(std::mem::offset_of!(Fields, year), 20);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            [INTERRUPTS_ON, INTERRUPTS_OFF, READ_TIME, SET_TIME],
            [0x7003, 0x7004, 0x8024_7009, 0x4024_700a]
        );
    }

    #[test]
    fn fields_lead_back() {
        for zone in [Zone::Utc, Zone::Local] {
            for time in [0, 951_782_399, 1_262_304_000, 1_795_168_800, 4_107_542_400] {
                assert_eq!(seconds(fields(time, zone).unwrap(), zone), Some(time));
            }
        }
        let fields = fields(1_262_313_964, Zone::Utc).unwrap();
        let of_day = (fields.hour, fields.minute, fields.second);
        assert_eq!(
            (fields.year, fields.month, fields.day, of_day),
            (110, 0, 1, (2, 46, 4))
        );
    }

    #[test]
    fn a_clock_without_a_battery_has_no_time() {
        assert_eq!(seconds(Fields::default(), Zone::Utc), None, "there is no day 0");
        let broken = Fields {
            month: 13,
            day: 1,
            ..Fields::default()
        };
        assert_eq!(seconds(broken, Zone::Utc), None);
    }

    #[test]
    fn what_is_no_clock_is_not_one() {
        let missing = Rtc::open(Path::new("/nowhere/rtc"), Zone::Utc).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let null = Rtc::open(Path::new("/dev/null"), Zone::Utc).unwrap();
        assert!(null.read().is_err() && null.interrupt(true).is_err() && null.set(0).is_err());
    }
}
