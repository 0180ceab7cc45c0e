//! Waiting: for sockets, until an instant.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use units::{Mono, UnixTime};

use crate::clock::read;
use crate::errno::{check, would_wait};
use crate::signals;
use crate::time::{mono, mono_timespec, timespec, unix_time};

/// Ten years, nanoseconds.
const TEN_YEARS_NS: i64 = 10 * 365 * 86_400 * 1_000_000_000;

/// Names something that is waited for; chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u32);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Something to read.
    Readable,
    /// Something to read, or a timestamp of something sent.
    ReadableOrStamped,
    /// Room to write, or the end of connecting.
    Writable,
}

/// Something that was waited for and has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// To whom.
    pub token: Token,
    /// There is something to read (or an error to be told by reading).
    pub readable: bool,
    /// There is a timestamp of something sent, or an error in its place.
    pub stamped: bool,
    /// There is room to write.
    pub writable: bool,
}

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Something has happened, or the instant has come.
    AsWaitedFor,
    /// Somebody set the system clock, or the host has slept. Something may have happened besides.
    ClockSet,
}

/// Whether the timer of a [`Waiter`] also rings when the system clock is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It counts on `CLOCK_MONOTONIC`, which nobody sets.
    Monotonic,
    /// It counts on `CLOCK_REALTIME`, and is cancelled when that is set (`TFD_TIMER_CANCEL_ON_SET`, Linux 3.0).
    Noticing,
}

/// Waits for descriptors and for an instant.
///
/// It is `poll` and a timer, because `poll` itself counts in whole milliseconds. The timer is set anew before it is waited
/// for again.
#[derive(Debug)]
pub struct Waiter {
    timer: OwnedFd,
    kind: Kind,
    /// What the timer is set to; `None` when it has to be set.
    set_to: Option<Option<Mono>>,
    /// The timer first, then what is watched.
    descriptors: Vec<libc::pollfd>,
    /// The token of each descriptor but the first.
    tokens: Vec<Token>,
    /// What is not watched while the instant that is waited for is no later than this one.
    put_off: Vec<(Mono, libc::pollfd, Token)>,
}

impl Waiter {
    /// Makes a waiter that watches nothing.
    ///
    /// # Errors
    /// What the system says of a timer.
    pub fn new() -> io::Result<Self> {
        Self::of_kind(Kind::Monotonic)
    }

    /// Likewise; a wait ends also when somebody sets the system clock or the host has slept, where the kernel can tell.
    ///
    /// # Errors
    /// What the system says of a timer.
    pub fn noticing() -> io::Result<Self> {
        let mut waiter = Self::of_kind(Kind::Noticing)?;
        match waiter.set_timer(None) {
            Ok(_) => Ok(waiter),
            Err(_) => Self::new(),
        }
    }

    fn of_kind(kind: Kind) -> io::Result<Self> {
        let clock = match kind {
            Kind::Monotonic => libc::CLOCK_MONOTONIC,
            Kind::Noticing => libc::CLOCK_REALTIME,
        };
        // SAFETY: takes no pointers.
        let raw = check(unsafe { libc::timerfd_create(clock, libc::TFD_NONBLOCK) })?;
        // SAFETY: `timerfd_create` has just made this descriptor, and nobody else knows it.
        let timer = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: takes no pointers; the descriptor is open.
        check(unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) })?;
        Ok(Self {
            descriptors: vec![descriptor(raw, libc::POLLIN)],
            timer,
            kind,
            set_to: None,
            tokens: Vec::new(),
            put_off: Vec::new(),
        })
    }

    /// Watches a descriptor from now on. It has to be [forgotten](Self::forget) before it is closed.
    pub fn watch(&mut self, token: Token, what: impl AsFd, watch: Watch) {
        let events = match watch {
            Watch::Readable => libc::POLLIN,
            Watch::ReadableOrStamped => libc::POLLIN | libc::POLLPRI,
            Watch::Writable => libc::POLLOUT,
        };
        self.descriptors
            .push(descriptor(what.as_fd().as_raw_fd(), events));
        self.tokens.push(token);
    }

    /// Watches no longer what has this token.
    pub fn forget(&mut self, token: Token) {
        while let Some(place) = self.tokens.iter().position(|&other| other == token) {
            self.tokens.swap_remove(place);
            self.descriptors.swap_remove(place + 1);
        }
        self.put_off.retain(|&(_, _, other)| other != token);
    }

    /// Does not wake for what has this token up to an instant, as long as there is something else to wake for by then.
    /// Again, it is put off further.
    pub fn put_off(&mut self, token: Token, until: Mono) {
        if let Some((put_off_to, ..)) = self.put_off.iter_mut().find(|(_, _, other)| *other == token) {
            *put_off_to = until;
        } else if let Some(place) = self.tokens.iter().position(|&other| other == token) {
            let token = self.tokens.swap_remove(place);
            let descriptor = self.descriptors.swap_remove(place + 1);
            self.put_off.push((until, descriptor, token));
        }
    }

    /// Watches again what was put off to before the instant that is waited for.
    fn take_up(&mut self, until: Option<Mono>) {
        let is_time =
            |&mut (put_off_to, _, _): &mut (Mono, _, _)| until.is_none_or(|until| until > put_off_to);
        for (_, descriptor, token) in self.put_off.extract_if(.., is_time) {
            self.descriptors.push(descriptor);
            self.tokens.push(token);
        }
    }

    /// Waits until something that was not [put off](Self::put_off) has happened, the instant has come or a signal arrived,
    /// and puts what has happened into `ready`, which is empty otherwise.
    ///
    /// # Errors
    /// `Interrupted` when a signal arrived, or what the system says.
    pub fn wait(&mut self, until: Option<Mono>, ready: &mut Vec<Ready>) -> io::Result<Woken> {
        ready.clear();
        self.take_up(until);
        if self.set_to != Some(until) && self.set_timer(until)? == Woken::ClockSet {
            return Ok(Woken::ClockSet);
        }
        if signals::pending() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = libc::nfds_t::try_from(self.descriptors.len()).unwrap_or_default();
        // SAFETY: the pointer is to as many descriptors as given, which nothing else uses during the call.
        check(unsafe { libc::poll(self.descriptors.as_mut_ptr(), count, -1) })?;
        for (descriptor, &token) in self.descriptors.iter().skip(1).zip(&self.tokens) {
            let happened = |events: libc::c_short| descriptor.revents & events != 0;
            let stamped = descriptor.events & libc::POLLPRI != 0 && happened(libc::POLLPRI | libc::POLLERR);
            let event = Ready {
                token,
                readable: happened(libc::POLLIN) || (happened(libc::POLLERR | libc::POLLHUP) && !stamped),
                stamped,
                writable: happened(libc::POLLOUT),
            };
            if event.readable || event.stamped || event.writable {
                ready.push(event);
            }
        }
        let has_rung = self.descriptors.first().is_some_and(|timer| timer.revents != 0);
        if self.kind == Kind::Noticing && has_rung {
            self.set_to = None;
            return self.why_it_rang();
        }
        Ok(Woken::AsWaitedFor)
    }

    /// Sets the timer to an instant, or to none.
    fn set_timer(&mut self, until: Option<Mono>) -> io::Result<Woken> {
        // SAFETY: `itimerspec` is made of integers, for which all zeros is a value: the timer is off.
        let mut setting = unsafe { MaybeUninit::<libc::itimerspec>::zeroed().assume_init() };
        let mut flags = libc::TFD_TIMER_ABSTIME;
        match self.kind {
            Kind::Monotonic => {
                if let Some(until) = until {
                    setting.it_value = mono_timespec(until);
                }
            }
            Kind::Noticing => {
                setting.it_value = wall_timespec(until);
                flags |= libc::TFD_TIMER_CANCEL_ON_SET;
            }
        }
        self.set_to = None;
        // SAFETY: the pointer is to a setting that lives through the call; the old one is not asked for.
        let set = check(unsafe {
            libc::timerfd_settime(
                self.timer.as_raw_fd(),
                flags,
                &raw const setting,
                std::ptr::null_mut(),
            )
        });
        match set {
            Err(error) if is_cancelled(&error) => return Ok(Woken::ClockSet),
            set => set?,
        };
        self.set_to = Some(until);
        Ok(Woken::AsWaitedFor)
    }

    /// Asks the timer whether it rang because the system clock was set.
    fn why_it_rang(&self) -> io::Result<Woken> {
        let mut times = [0_u8; 8];
        // SAFETY: the pointer is to as many bytes as given.
        let read =
            check(unsafe { libc::read(self.timer.as_raw_fd(), times.as_mut_ptr().cast(), times.len()) });
        match read {
            Err(error) if is_cancelled(&error) => Ok(Woken::ClockSet),
            Err(error) if !would_wait(&error) => Err(error),
            _ => Ok(Woken::AsWaitedFor),
        }
    }
}

/// Whether a timer was cancelled because the clock was set.
fn is_cancelled(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ECANCELED)
}

/// An instant as a time of the system clock, by no means an earlier one; that in ten years for none.
fn wall_timespec(until: Option<Mono>) -> libc::timespec {
    let now = mono(&read(libc::CLOCK_MONOTONIC));
    // Read after the other, so that it is late rather than early.
    let wall = unix_time(&read(libc::CLOCK_REALTIME));
    let nanos = until.map_or(TEN_YEARS_NS, |until| {
        until.as_nanos().saturating_sub(now.as_nanos()).max(0)
    });
    let (seconds, nanos) =
        UnixTime::from_parts(wall.seconds(), i64::from(wall.nanos()).saturating_add(nanos)).to_parts();
    timespec(seconds, nanos)
}

/// A descriptor in the form that `poll` takes.
fn descriptor(fd: RawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}
