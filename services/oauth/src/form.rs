//! Parameters of requests: queries and forms, each name at most once.
//! Not here: what any of them means.

use std::collections::BTreeMap;

/// More parameters than any request has.
const MAX_PARAMETERS: usize = 50;

/// The parameters of a request. There is no `Debug`: some are secrets.
pub struct Form {
    single: BTreeMap<String, String>,
    repeated: Vec<(String, String)>,
}

/// A name that came twice, or too many of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadForm {
    /// A parameter must not be repeated (RFC 6749, 3.1 and 3.2).
    #[error("a parameter is repeated")]
    Repeated,
    /// More than any request has.
    #[error("there are too many parameters")]
    TooMany,
}

impl Form {
    /// Reads a query or a form; names in `lists` may be repeated. A parameter without a value counts as not given
    /// (RFC 6749, 3.1).
    ///
    /// # Errors
    /// When another name comes twice.
    pub fn parse(text: &[u8], lists: &[&str]) -> Result<Self, BadForm> {
        let mut form = Self { single: BTreeMap::new(), repeated: Vec::new() };
        for (count, (name, value)) in form_urlencoded::parse(text).enumerate() {
            if count >= MAX_PARAMETERS {
                return Err(BadForm::TooMany);
            }
            if lists.contains(&&*name) {
                form.repeated.push((name.into_owned(), value.into_owned()));
            } else if form.single.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(BadForm::Repeated);
            }
        }
        Ok(form)
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.single.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All values of one that may be repeated.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<String> {
        self.repeated.iter().filter(|(other, _)| other == name).map(|(_, value)| value.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_comes_once_and_an_empty_value_is_none() {
        let form = Form::parse(b"a=1&b=&s=x&s=y", &["s"]).ok().unwrap();
        assert_eq!((form.get("a"), form.get("b"), form.get("c")), (Some("1"), None, None));
        assert_eq!(form.all("s"), ["x", "y"]);
        assert_eq!(Form::parse(b"a=1&a=1", &[]).err(), Some(BadForm::Repeated));
        assert_eq!(Form::parse(b"a=&a=1", &[]).err(), Some(BadForm::Repeated));
        let many: String = (0..51).map(|n| format!("p{n}=1&")).collect();
        assert_eq!(Form::parse(many.as_bytes(), &[]).err(), Some(BadForm::TooMany));
    }
}
