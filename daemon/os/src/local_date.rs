//! Dates as the system's time zone has them.

use std::ffi::CStr;
use std::mem::MaybeUninit;

/// No date is written with more bytes.
const LENGTH_MAX: usize = 128;

/// Writes a Unix time as a date of the local time zone, in the form that strftime(3) takes; `@` and the number where the
/// time is none that can be written so.
///
/// The time zone is read from its file at the first call: that must not be after files have become unreadable.
pub fn local_date(seconds: i64, form: &CStr) -> String {
    written(seconds, form).unwrap_or_else(|| format!("@{seconds}"))
}

fn written(seconds: i64, form: &CStr) -> Option<String> {
    let time = libc::time_t::try_from(seconds).ok()?;
    // SAFETY: all fields of a `tm` are integers, and its pointer may be null.
    let mut broken = unsafe { MaybeUninit::<libc::tm>::zeroed().assume_init() };
    // SAFETY: the pointers are to a time and to a whole `tm`, which live through the call.
    if unsafe { libc::localtime_r(&raw const time, &raw mut broken) }.is_null() {
        return None;
    }
    let mut text = [0_u8; LENGTH_MAX];
    // SAFETY: the buffer has the length that is told, the form ends with a zero, and the `tm` was filled above; the name
    // of the zone that it points to is the C library's own.
    let length = unsafe {
        libc::strftime(
            text.as_mut_ptr().cast(),
            text.len(),
            form.as_ptr(),
            &raw const broken,
        )
    };
    let text = text.get(..length).filter(|text| !text.is_empty())?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_the_form_that_is_asked_for() {
        // Noon, which is the same day almost everywhere.
        assert_eq!(local_date(1_583_236_800, c"%a %b %e %Y"), "Tue Mar  3 2020");
        assert_eq!(local_date(i64::MAX, c"%Y"), format!("@{}", i64::MAX));
    }
}
