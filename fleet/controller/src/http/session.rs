//! Browsers that are signed in: a random cookie stands for a token that stays with the controller.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use axum::http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use uuid::Uuid;

use crate::tokens::{Caller, TokensError, random_hex};

/// Header in which a page's script shows the CSRF token; forms have a field `csrf`.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// How long a browser stays signed in at most.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// How many browsers can be signed in; when there are more, the oldest of whoever has the most has to sign in again.
const SESSIONS_MAX: usize = 1000;

/// A signed-in browser.
#[derive(Clone)]
pub struct Session {
    /// Whose token it signed in with, and what that allows.
    pub caller: Caller,
    /// What its writes have to show.
    csrf: String,
    began: Instant,
}

impl Session {
    /// The CSRF token that the pages put into their forms and scripts.
    pub fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Says whether a request shows the session's CSRF token.
    pub fn csrf_is(&self, shown: &str) -> bool {
        verify_slices_are_equal(self.csrf.as_bytes(), shown.as_bytes()).is_ok()
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.began.elapsed() > LIFETIME || now > self.caller.expires_at
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.caller.subject)
    }
}

/// Every signed-in browser, by the hash of its cookie.
pub struct Sessions {
    cookie: String,
    attributes: &'static str,
    sessions: Mutex<HashMap<Vec<u8>, Session>>,
}

impl Sessions {
    /// Nobody is signed in. The cookie is named after the controller: cookies do not tell ports apart, and a
    /// machine can run several controllers.
    pub(super) fn new(controller: Uuid, secure: bool) -> Self {
        let short = controller.simple().to_string();
        let short = short.get(..8).unwrap_or(&short);
        let (prefix, attributes) = if secure {
            ("__Host-", "; Path=/; HttpOnly; SameSite=Strict; Secure")
        } else {
            ("", "; Path=/; HttpOnly; SameSite=Strict")
        };
        Sessions {
            cookie: format!("{prefix}timeball-{short}"),
            attributes,
            sessions: Mutex::new(HashMap::new()),
        }
    }

    /// Signs a browser in; gives the value of its `Set-Cookie` header.
    pub(super) fn begin(&self, caller: Caller) -> Result<HeaderValue, TokensError> {
        let (id, csrf) = (random_hex()?, random_hex()?);
        let now = Timestamp::now();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| !session.is_over(now));
        if sessions.len() >= SESSIONS_MAX {
            let gives_way = oldest_of_the_most(&sessions, &caller.subject);
            gives_way.map(|key| sessions.remove(&key));
        }
        sessions.insert(
            key(&id),
            Session {
                caller,
                csrf,
                began: Instant::now(),
            },
        );
        let text = format!("{}={id}{}", self.cookie, self.attributes);
        // Hexadecimal digits and fixed text always make a header value.
        Ok(HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("")))
    }

    /// Signs the browser of this request out; gives the value of its `Set-Cookie` header.
    pub(super) fn end(&self, headers: &HeaderMap) -> HeaderValue {
        if let Some(id) = self.cookie_of(headers) {
            self.sessions
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&key(id));
        }
        let text = format!("{}={}; Max-Age=0", self.cookie, self.attributes);
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// The session of a request's cookie; `None` without one, and after its end.
    pub(super) fn find(&self, headers: &HeaderMap) -> Option<Session> {
        let id = self.cookie_of(headers)?;
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions
            .get(&key(id))
            .filter(|session| !session.is_over(Timestamp::now()))
            .cloned()
    }

    fn cookie_of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.cookie)
            .map(|(_, value)| value)
    }
}

/// The oldest session of the subject that has the most, counting one more of `newcomer`: nobody signs all others out.
fn oldest_of_the_most(sessions: &HashMap<Vec<u8>, Session>, newcomer: &str) -> Option<Vec<u8>> {
    let subjects = sessions.values().map(|session| session.caller.subject.as_str());
    let mut held = HashMap::from([(newcomer, 1_usize)]);
    for subject in subjects {
        *held.entry(subject).or_default() += 1;
    }
    let held_by = |session: &Session| held.get(session.caller.subject.as_str());
    sessions
        .iter()
        .max_by_key(|(_, session)| (held_by(session), std::cmp::Reverse(session.began)))
        .map(|(key, _)| key.clone())
}

/// A cookie is looked up by its hash, so that the time it takes says nothing about the cookies there are.
fn key(id: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, id.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(expires_at: Timestamp) -> Caller {
        Caller {
            subject: "anna".into(),
            roles: vec![],
            permissions: Default::default(),
            jti: None,
            expires_at,
        }
    }

    fn cookie(set: &HeaderValue) -> HeaderMap {
        let pair = set.to_str().unwrap().split(';').next().unwrap();
        HeaderMap::from_iter([(header::COOKIE, format!("other=1; {pair}").parse().unwrap())])
    }

    #[test]
    fn a_session_is_found_by_its_cookie_until_it_ends() {
        let sessions = Sessions::new(Uuid::from_u128(7), true);
        let set = sessions.begin(caller(Timestamp::MAX)).unwrap();
        let text = set.to_str().unwrap();
        assert!(text.starts_with("__Host-timeball-00000000="));
        assert!(text.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"));
        let headers = cookie(&set);
        let session = sessions.find(&headers).unwrap();
        assert!(session.csrf_is(session.csrf()) && !session.csrf_is("") && !session.csrf_is("x"));
        assert!(sessions.find(&HeaderMap::new()).is_none());
        assert!(sessions.end(&headers).to_str().unwrap().ends_with("Max-Age=0"));
        assert!(sessions.find(&headers).is_none());
    }

    #[test]
    fn a_session_ends_with_its_token_and_there_are_only_so_many() {
        let sessions = Sessions::new(Uuid::from_u128(7), false);
        let over = cookie(&sessions.begin(caller(Timestamp::UNIX_EPOCH)).unwrap());
        assert!(sessions.find(&over).is_none());
        let first = cookie(&sessions.begin(caller(Timestamp::MAX)).unwrap());
        for _ in 0..SESSIONS_MAX {
            sessions.begin(caller(Timestamp::MAX)).unwrap();
        }
        assert!(sessions.find(&first).is_none());
        assert_eq!(sessions.sessions.lock().unwrap().len(), SESSIONS_MAX);
    }

    #[test]
    fn who_signs_in_again_and_again_signs_nobody_else_out() {
        let sessions = Sessions::new(Uuid::from_u128(7), false);
        let of = |subject: &str| Caller {
            subject: subject.into(),
            ..caller(Timestamp::MAX)
        };
        let anna = cookie(&sessions.begin(of("anna")).unwrap());
        let first = cookie(&sessions.begin(of("greedy")).unwrap());
        for _ in 0..SESSIONS_MAX {
            sessions.begin(of("greedy")).unwrap();
        }
        assert!(sessions.find(&anna).is_some() && sessions.find(&first).is_none());
        // Who comes last finds a place, too.
        let ben = cookie(&sessions.begin(of("ben")).unwrap());
        assert!(sessions.find(&ben).is_some() && sessions.find(&anna).is_some());
        assert_eq!(sessions.sessions.lock().unwrap().len(), SESSIONS_MAX);
    }
}
