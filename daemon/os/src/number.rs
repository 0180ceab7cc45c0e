//! Sizes in the widths that C has for them.

/// A size as `socklen_t`; all of ours are far below its range.
pub(crate) fn length(size: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(size).unwrap_or(libc::socklen_t::MAX)
}

/// The number of bytes that a call reports to have moved; a negative one was turned into an error before.
pub(crate) fn moved(bytes: isize) -> usize {
    usize::try_from(bytes).unwrap_or_default()
}
