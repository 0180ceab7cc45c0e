//! Memory that only the start of a program needs, or what it does now and then.

use std::ops::Range;

/// Gives back the pages of the program and its libraries: those that are used after the start come back by themselves,
/// out of the cache of their files. What is left out is the code that reads configurations, the linker's tables, and
/// what nobody has asked for.
///
/// Only whole pages of segments that are never written are given back, so that nothing can be lost. Where memory is
/// locked nothing happens.
pub fn give_back_start() {
    let page = page_length();
    for segment in read_only_segments() {
        let start = segment.start.next_multiple_of(page);
        let end = segment.end - segment.end % page;
        if start < end {
            let address = std::ptr::with_exposed_provenance_mut(start);
            // SAFETY: the pages are of a segment that is mapped as long as the program runs and that nobody writes to,
            // hence equal to the file that the kernel reads them from when they are next used.
            let _ = unsafe { libc::madvise(address, end - start, libc::MADV_DONTNEED) };
        }
    }
}

/// Gives back what was freed, of threads too that are gone: the allocator keeps it otherwise, for the next time.
pub fn give_back_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers, and memory that is in use stays as it is.
    let _ = unsafe { libc::malloc_trim(0) };
}

fn page_length() -> usize {
    // SAFETY: takes no pointers.
    let length = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(length)
        .ok()
        .filter(|length| *length > 0)
        .unwrap_or(4096)
}

/// Where the segments are that the linker has mapped without a right to write.
fn read_only_segments() -> Vec<Range<usize>> {
    let mut segments: Vec<Range<usize>> = Vec::new();
    // SAFETY: the callback is called with the pointer that is given here, which is to a list that lives through the
    // call, and does not keep it.
    unsafe { libc::dl_iterate_phdr(Some(add_segments), (&raw mut segments).cast()) };
    segments
}

/// Adds the segments of one object to the list.
///
/// # Safety
/// `info` is to the description of an object, `list` to a list of ranges; nobody else uses the latter meanwhile.
unsafe extern "C" fn add_segments(
    info: *mut libc::dl_phdr_info,
    _length: libc::size_t,
    list: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: as the caller says.
    let info = unsafe { &*info };
    // SAFETY: as the caller says.
    let list = unsafe { &mut *list.cast::<Vec<Range<usize>>>() };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: an object has so many headers there, for as long as it is loaded; it is while this is called.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    for header in headers {
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
        let end = start.wrapping_add(header.p_filesz);
        if let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end))
            && start < end
        {
            list.push(start..end);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    static ADDED: [u64; 4] = [1, 2, 3, 4];

    #[test]
    fn the_program_is_as_it_was_afterwards() {
        let segments = read_only_segments();
        let this = add_segments as *const () as usize;
        assert!(segments.iter().any(|segment| segment.contains(&this)));
        let on_stack = 0_u8;
        let there = (&raw const on_stack).addr();
        assert!(!segments.iter().any(|segment| segment.contains(&there)));
        let kept = vec![7_u8; 100_000];
        drop(vec![1_u8; 100_000]);
        give_back_start();
        give_back_freed();
        assert!(std::hint::black_box(&kept).iter().all(|byte| *byte == 7));
        assert_eq!(std::hint::black_box(&ADDED).iter().sum::<u64>(), 10);
        assert_eq!(format!("{:.3}", std::hint::black_box(1.0_f64).exp()), "2.718");
    }
}
