//! Constraints, asked: each request on a helper thread, which is there only while it waits.

mod authorities;
mod request;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use engine::io::{CONSTRAINT_TIME_OUT_S, ConstraintAnswer, ConstraintError, ConstraintId};
use os::{Clock, Helper, Ready, Token, Waiter, Watch, give_back_freed, give_back_start};

pub(crate) use authorities::Authorities;
pub(crate) use request::Request;

/// How many requests are made at once; the others wait for their turn.
const REQUESTS_MAX: u32 = 8;

/// How the loop calls the first of them.
const FIRST: u32 = u32::MAX - 1024;

/// The stack of a helper, bytes: a handshake needs some 40,000.
const STACK_LENGTH: usize = 256 * 1024;

/// Those who ask.
#[derive(Debug)]
pub(crate) struct ConstraintClient {
    clock: Clock,
    /// Whom to believe; `None` if there is nobody to be asked.
    authorities: Option<Arc<Authorities>>,
    waiting: VecDeque<(ConstraintId, Request)>,
    running: BTreeMap<Token, (ConstraintId, Helper<ConstraintAnswer>)>,
}

impl ConstraintClient {
    pub(crate) fn new(clock: Clock, authorities: Option<Authorities>) -> Self {
        Self {
            clock,
            authorities: authorities.map(Arc::new),
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
        }
    }

    /// Believes these from the next request on.
    pub(crate) fn believe(&mut self, authorities: Authorities) {
        self.authorities = Some(Arc::new(authorities));
    }

    /// Has a request made, once it is [started](Self::start).
    ///
    /// # Errors
    /// It cannot be made: nobody's certificate could be believed.
    pub(crate) fn ask(&mut self, id: ConstraintId, request: Request) -> Result<(), ConstraintError> {
        if self.authorities.is_none() {
            return Err(request.refuse("no certificates of authorities"));
        }
        self.waiting.push_back((id, request));
        Ok(())
    }

    /// Takes the answer of which the event tells, if it is one.
    pub(crate) fn happened(
        &mut self,
        event: Ready,
        waiter: &mut Waiter,
    ) -> Option<(ConstraintId, ConstraintAnswer)> {
        let (id, helper) = self.running.remove(&event.token)?;
        waiter.forget(event.token);
        let panicked = || {
            Err(ConstraintError {
                text: "constraint request failed for an unknown reason".to_owned(),
                is_unproven: false,
            })
        };
        let answer = helper.finish().unwrap_or_else(panicked);
        if self.running.is_empty() && self.waiting.is_empty() {
            // TLS is not needed again for a quarter of an hour at least.
            give_back_freed();
            give_back_start();
        }
        Some((id, answer))
    }

    /// Starts what can be started.
    ///
    /// # Errors
    /// What the system says of a thread; the request is kept, and tried again after the next answer or question.
    pub(crate) fn start(&mut self, waiter: &mut Waiter) -> io::Result<()> {
        let Some(authorities) = &self.authorities else {
            return Ok(());
        };
        let tokens = (FIRST..FIRST + REQUESTS_MAX).map(Token);
        for token in tokens {
            if self.running.contains_key(&token) {
                continue;
            }
            let Some((id, request)) = self.waiting.front().cloned() else {
                break;
            };
            let (clock, authorities) = (self.clock, Arc::clone(authorities));
            let time_out = Duration::from_secs(CONSTRAINT_TIME_OUT_S.into());
            let helper = Helper::start("constraint", STACK_LENGTH, move || {
                request.ask(&authorities, &clock, time_out)
            })?;
            self.waiting.pop_front();
            waiter.watch(token, helper.done(), Watch::Readable);
            self.running.insert(token, (id, helper));
        }
        Ok(())
    }
}
