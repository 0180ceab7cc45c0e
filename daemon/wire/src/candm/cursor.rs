//! Reading and writing fields in order, big-endian.

use super::address::Address;
use super::float::{decode_float, encode_float};
use super::reference_id::ReferenceId;
use super::timespec::Timespec;

/// What a field reader reports: the field that is missing or has a value outside its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadField(pub(super) &'static str);

/// The seconds value that stands for "never" in age fields.
const NEVER: u32 = u32::MAX;

/// Reads fields one after another; each reader takes the field's name for the error.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], BadField> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(BadField(field))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], BadField> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(BadField(field))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, BadField> {
        self.array(field).map(u8::from_be_bytes)
    }

    pub(super) fn i8(&mut self, field: &'static str) -> Result<i8, BadField> {
        self.array(field).map(i8::from_be_bytes)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, BadField> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(super) fn i16(&mut self, field: &'static str) -> Result<i16, BadField> {
        self.array(field).map(i16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, BadField> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, BadField> {
        self.array(field).map(i32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, BadField> {
        self.array(field).map(u64::from_be_bytes)
    }

    pub(super) fn float(&mut self, field: &'static str) -> Result<f64, BadField> {
        self.u32(field).map(decode_float)
    }

    /// Reads an age in seconds, `None` for "never".
    pub(super) fn age(&mut self, field: &'static str) -> Result<Option<u32>, BadField> {
        self.u32(field)
            .map(|seconds| (seconds != NEVER).then_some(seconds))
    }

    pub(super) fn timespec(&mut self, field: &'static str) -> Result<Timespec, BadField> {
        Ok(Timespec::from_words(
            self.u32(field)?,
            self.u32(field)?,
            self.u32(field)?,
        ))
    }

    pub(super) fn reference_id(&mut self, field: &'static str) -> Result<ReferenceId, BadField> {
        self.u32(field).map(ReferenceId)
    }

    pub(super) fn address(&mut self, field: &'static str) -> Result<Address, BadField> {
        let bytes = self.array(field)?;
        let family = self.u16(field)?;
        self.u16(field)?;
        Address::from_parts(bytes, family).ok_or(BadField(field))
    }
}

/// Appends fields one after another.
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn with_capacity(length: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(length),
        }
    }

    /// Returns what was written, zero filled up to `length`.
    pub(super) fn finish(mut self, length: usize) -> Vec<u8> {
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
        self.bytes
    }

    /// Appends zero bytes until `length` bytes are written.
    pub(super) fn zeros_to(&mut self, length: usize) {
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn i8(&mut self, value: i8) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn i16(&mut self, value: i16) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn float(&mut self, value: f64) {
        self.u32(encode_float(value));
    }

    pub(super) fn age(&mut self, seconds: Option<u32>) {
        self.u32(seconds.unwrap_or(NEVER));
    }

    pub(super) fn timespec(&mut self, time: Timespec) {
        let (high, low, nanoseconds) = time.to_words();
        self.u32(high);
        self.u32(low);
        self.u32(nanoseconds);
    }

    pub(super) fn address(&mut self, address: Address) {
        let (bytes, family) = address.to_parts();
        self.put(&bytes);
        self.u16(family);
        self.u16(0);
    }
}
