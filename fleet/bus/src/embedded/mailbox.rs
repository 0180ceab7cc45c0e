//! What waits for one subscriber: filled by the store, emptied as a stream.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;

/// How things wait and in which order they are taken.
pub(super) trait Waiting: Send + 'static {
    /// What the subscriber gets.
    type Item: Send;

    /// Takes the next thing for the subscriber.
    fn take(&mut self) -> Option<Self::Item>;
}

/// A subscriber's mailbox, shared by those who fill it.
pub(super) struct Mailbox<W>(Mutex<Inside<W>>);

struct Inside<W> {
    waiting: W,
    reader: Option<Waker>,
    closed: bool,
}

impl<W: Waiting> Mailbox<W> {
    pub(super) fn new(waiting: W) -> Self {
        Mailbox(Mutex::new(Inside {
            waiting,
            reader: None,
            closed: false,
        }))
    }

    /// Changes what waits, then wakes the subscriber.
    pub(super) fn fill(&self, change: impl FnOnce(&mut W)) {
        let mut inside = self.inside();
        change(&mut inside.waiting);
        let reader = inside.reader.take();
        drop(inside);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Nothing will be filled in any more: the stream ends when it is empty.
    pub(super) fn close(&self) {
        self.inside().closed = true;
        self.fill(|_| {});
    }

    fn inside(&self) -> MutexGuard<'_, Inside<W>> {
        // Nothing in here panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The subscriber's end.
pub(super) struct Reading<W>(pub(super) Arc<Mailbox<W>>);

impl<W: Waiting> Stream for Reading<W> {
    type Item = W::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<W::Item>> {
        let mut inside = self.0.inside();
        if let Some(item) = inside.waiting.take() {
            return Poll::Ready(Some(item));
        }
        if inside.closed {
            return Poll::Ready(None);
        }
        inside.reader = Some(context.waker().clone());
        Poll::Pending
    }
}
