//! Query parameters, read by the table's row.

use axum::extract::Query as AxumQuery;
use axum::http::Uri;
use model::Invalid;
use model::route::{QueryValue, Route};

/// The query parameters of one request that its route knows; others are ignored.
#[derive(Debug, Default)]
pub(super) struct Query {
    numbers: Vec<(&'static str, u64)>,
    texts: Vec<(&'static str, String)>,
}

impl Query {
    /// Reads and checks the parameters.
    pub(super) fn read(route: &'static Route, uri: &Uri) -> Result<Self, Invalid> {
        let AxumQuery(pairs) = AxumQuery::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| {
            Invalid::new(
                "",
                "the query cannot be read",
                "write name=value pairs joined by &",
            )
        })?;
        let mut query = Query::default();
        for known in route.query {
            let mut given = pairs
                .iter()
                .filter(|(name, _)| name == known.name)
                .map(|(_, value)| value);
            let value = given.next();
            if given.next().is_some() {
                return Err(Invalid::new(known.name, "it is given twice", "give it once"));
            }
            match known.value {
                QueryValue::Number { min, max, default } => {
                    let number = match value {
                        Some(text) => Some(number(known.name, text, min, max)?),
                        None => default,
                    };
                    query.numbers.extend(number.map(|number| (known.name, number)));
                }
                QueryValue::Word(words) => {
                    if let Some(text) = value {
                        let word = words.iter().find(|word| *word == text).ok_or_else(|| {
                            let one_of = format!("give one of {}", words.join(", "));
                            Invalid::new(known.name, "there is no such word", one_of)
                        })?;
                        query.texts.push((known.name, (*word).to_owned()));
                    }
                }
                QueryValue::Text { .. } => {
                    query.texts.extend(value.map(|text| (known.name, text.clone())));
                }
            }
        }
        Ok(query)
    }

    /// A number, or its default.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.numbers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| *number)
    }

    /// A word or text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| text.as_str())
    }
}

fn number(name: &str, text: &str, min: u64, max: u64) -> Result<u64, Invalid> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u64>()
        .ok()
        .filter(|number| digits && (min..=max).contains(number))
        .ok_or_else(|| {
            Invalid::new(
                name,
                "it is out of range",
                format!("give a whole number from {min} to {max}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use model::route::Endpoint;

    use super::*;

    fn jobs(query: &str) -> Result<Query, Invalid> {
        Query::read(
            Endpoint::GetJobs.route(),
            &format!("/api/job?{query}").parse().unwrap(),
        )
    }

    #[test]
    fn known_parameters_are_checked_and_others_ignored() {
        let query = jobs("limit=100&status=partial_failure&colour=red").unwrap();
        assert_eq!(query.number("limit"), Some(100));
        assert_eq!(query.number("offset"), Some(0));
        assert_eq!(query.text("status"), Some("partial_failure"));
        assert_eq!(jobs("").unwrap().number("limit"), Some(10));
        for bad in [
            "limit=0",
            "limit=101",
            "limit=",
            "limit=x",
            "limit=1.0",
            "limit=%2B1",
            "limit=-1",
            "limit=99999999999999999999",
            "offset=-1",
            "status=done",
            "status=",
            "limit=1&limit=2",
        ] {
            assert!(jobs(bad).is_err(), "{bad}");
        }
    }
}
