//! The daemon's hands: everything that asks the system for something, and the only unsafe code.
//!
//! [`Clock`] reads and steers the system clock. [`UdpSocket`] and [`UnixSocket`] carry datagrams, the former with the
//! kernel's timestamps; a [`PassedSocket`] was opened by a service manager. [`Waiter`] waits for them until an instant, or
//! until a signal ([`signals`]). [`Resolver`] looks names up beside the loop, on a [`Helper`], and [`Rtc`] is the clock that
//! runs while the machine is off. [`privileges`] are given up, a [`sandbox`] is made, and [`background`], [`pid_file`],
//! [`files`] and [`syslog`] are what a daemon needs of its host.
//!
//! It acts and does not decide: no call here is made because of another. Nothing unsafe leaves the crate.
//!
//! Every system call is one of the C library's functions, by name, and but for helpers there is one thread that makes
//! them: so the daemon runs unchanged where those functions are intercepted and the clock is a simulated one. Under such a
//! simulator time moves only in [`Waiter::wait`], hence no loop here waits for a clock.

pub mod background;
mod clock;
mod directory_watch;
mod errno;
pub mod files;
mod helper;
mod interface;
mod local_date;
mod memory;
mod number;
pub mod pid_file;
mod poll;
pub mod privileges;
mod random;
mod resolver;
mod rtc;
pub mod sandbox;
mod shared_memory;
pub mod signals;
mod socket;
pub mod syslog;
mod time;

pub use clock::{Clock, ClockError, FREQUENCY_MAX_PPM, KernelState, Reading, Trace};
pub use directory_watch::DirectoryWatch;
pub use errno::reason;
pub use helper::Helper;
pub use interface::{interface_index, interface_name, local_addresses};
pub use local_date::local_date;
pub use memory::{give_back_freed, give_back_start};
pub use poll::{Ready, Token, Waiter, Watch, Woken};
pub use random::Random;
pub use resolver::{ADDRESSES_MAX, AddressFamily, Answer, LookupError, Resolver, look_up};
pub use rtc::{Rtc, Zone};
pub use shared_memory::{ClockSample, SharedMemory};
pub use socket::{
    DATAGRAM_LENGTH_MAX, PassedError, PassedSocket, Received, SOCKET_PATH_MAX, Stamping, Transmitted,
    UdpOptions, UdpSocket, UnixPeer, UnixSocket, let_everybody_write,
};
