//! The segment of shared memory of ntpd's driver 28, into which GPS daemons and others write what time it is.
//!
//! Layout: <https://docs.ntpsec.org/latest/driver_shm.html>. One sample at a time is in it; whoever has read it
//! marks it as read.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, Ordering, fence};

use units::{Leap, UnixTime};

/// The key of the segment with the number 0.
const KEY: i32 = 0x4e54_5030;

/// What is in the segment. Another process may write it at any time, hence everything is atomic; the time of day has
/// 64 bits, as on every system that gets past 2038.
#[repr(C)]
struct Layout {
    mode: AtomicI32,
    count: AtomicI32,
    clock_seconds: AtomicI64,
    clock_micros: AtomicI32,
    receive_seconds: AtomicI64,
    receive_micros: AtomicI32,
    leap: AtomicI32,
    precision: AtomicI32,
    samples: AtomicI32,
    valid: AtomicI32,
    clock_nanos: AtomicU32,
    receive_nanos: AtomicU32,
    reserved: [AtomicI32; 8],
}

/// One sample of a reference clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockSample {
    /// When, on the system clock.
    pub at: UnixTime,
    /// The reference clock − the system clock then, seconds.
    pub offset_s: f64,
    /// The leap second that it announces.
    pub leap: Leap,
}

/// An attached segment.
#[derive(Debug)]
pub struct SharedMemory {
    layout: NonNull<Layout>,
}

impl SharedMemory {
    /// Attaches the segment with a number, which is made with these permissions if there is none.
    ///
    /// # Errors
    /// What the system says; a segment of another size is refused too.
    pub fn attach(unit: i32, permissions: u32) -> io::Result<Self> {
        let flags = libc::IPC_CREAT | i32::try_from(permissions & 0o777).unwrap_or(0o600);
        // SAFETY: takes three numbers, and returns one.
        let id = unsafe { libc::shmget(KEY.wrapping_add(unit), size_of::<Layout>(), flags) };
        if id < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: with a null address the system chooses a free place, so that nothing of ours is covered.
        let address = unsafe { libc::shmat(id, std::ptr::null(), 0) };
        if address.addr() == usize::MAX {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(address.cast())
            .map(|layout| Self { layout })
            .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
    }

    /// Takes the sample that is there; `None` if there is no new one, or its writer is just writing.
    pub fn take(&mut self) -> Option<ClockSample> {
        let layout = self.layout();
        let before = layout.count.load(Ordering::Acquire);
        let valid = layout.valid.load(Ordering::Acquire);
        let sample = Raw {
            clock_seconds: layout.clock_seconds.load(Ordering::Relaxed),
            clock_micros: layout.clock_micros.load(Ordering::Relaxed),
            clock_nanos: layout.clock_nanos.load(Ordering::Relaxed),
            receive_seconds: layout.receive_seconds.load(Ordering::Relaxed),
            receive_micros: layout.receive_micros.load(Ordering::Relaxed),
            receive_nanos: layout.receive_nanos.load(Ordering::Relaxed),
            leap: layout.leap.load(Ordering::Relaxed),
        };
        fence(Ordering::Acquire);
        let after = layout.count.load(Ordering::Relaxed);
        let mode = layout.mode.load(Ordering::Relaxed);
        layout.valid.store(0, Ordering::Release);
        let is_whole = mode == 0 || (mode == 1 && before == after);
        (valid != 0 && is_whole).then(|| sample.told())
    }

    fn layout(&self) -> &Layout {
        // SAFETY: the segment is attached until `self` is dropped, begins with a page and is at least as large as the
        // layout, since the system refuses a smaller one; everything in it is atomic, and any bits are a value of it.
        unsafe { self.layout.as_ref() }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: the address is that of the segment attached by `attach`, and nothing refers to it any more.
        unsafe { libc::shmdt(self.layout.as_ptr().cast()) };
    }
}

/// A sample as it is written.
#[derive(Debug, Clone, Copy)]
struct Raw {
    clock_seconds: i64,
    clock_micros: i32,
    clock_nanos: u32,
    receive_seconds: i64,
    receive_micros: i32,
    receive_nanos: u32,
    leap: i32,
}

impl Raw {
    fn told(self) -> ClockSample {
        let clock = time(self.clock_seconds, self.clock_micros, self.clock_nanos);
        let at = time(self.receive_seconds, self.receive_micros, self.receive_nanos);
        ClockSample {
            at,
            offset_s: clock.seconds_since(at),
            leap: match self.leap {
                0 => Leap::Normal,
                1 => Leap::Insert,
                2 => Leap::Delete,
                _ => Leap::Unsynchronised,
            },
        }
    }
}

/// The nanoseconds count if they say more than the microseconds; old writers leave them as they are.
fn time(seconds: i64, micros: i32, nanos: u32) -> UnixTime {
    let micros = i64::from(micros);
    let nanos = i64::from(nanos);
    let nanos = if nanos / 1000 == micros {
        nanos
    } else {
        micros * 1000
    };
    UnixTime::from_parts(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_driver() {
        assert_eq!(size_of::<Layout>(), 96);
        assert_eq!(std::mem::offset_of!(Layout, valid), 48);
        assert_eq!(size_of::<libc::time_t>(), 8);
    }

    #[test]
    fn nanoseconds_count_where_they_say_more() {
        assert_eq!(time(7, 123, 123_456).to_parts(), (7, 123_456));
        assert_eq!(time(7, 123, 0).to_parts(), (7, 123_000));
    }

    #[test]
    fn a_sample_is_taken_once() {
        // A number that no receiver has.
        let unit = 0x1000_0000 + i32::try_from(std::process::id()).unwrap();
        let mut reader = SharedMemory::attach(unit, 0o600).unwrap();
        let writer = SharedMemory::attach(unit, 0o600).unwrap();
        assert_eq!(reader.take(), None);
        let layout = writer.layout();
        layout.mode.store(1, Ordering::Relaxed);
        layout.clock_seconds.store(1_000_000_001, Ordering::Relaxed);
        layout.receive_seconds.store(1_000_000_000, Ordering::Relaxed);
        layout.receive_micros.store(500_000, Ordering::Relaxed);
        layout.leap.store(1, Ordering::Relaxed);
        layout.valid.store(1, Ordering::Release);
        let sample = reader.take().unwrap();
        assert_eq!(sample.at.to_parts(), (1_000_000_000, 500_000_000));
        assert_eq!((sample.offset_s, sample.leap), (0.5, Leap::Insert));
        assert_eq!(reader.take(), None);
        // SAFETY: takes three numbers, and returns one.
        let id = unsafe { libc::shmget(KEY.wrapping_add(unit), 0, 0) };
        // SAFETY: the segment goes away with its last user; nothing is read or written through the null pointer.
        let removed = unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
        assert_eq!(removed, 0);
    }
}
