//! Parameters of a query or a form, in their order and with their repetitions: a repeated one is an error that a map
//! would hide.
//! Not here: what they mean.

use std::collections::BTreeMap;

/// Shown in the log; of every other one only the length is.
const HARMLESS: &[&str] = &[
    "client_id",
    "code_challenge_method",
    "domain_hint",
    "error",
    "error_subcode",
    "grant_type",
    "login_hint",
    "prompt",
    "redirect_uri",
    "resource",
    "response_mode",
    "response_type",
    "scope",
];

#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The first one of that name. An empty one counts as missing, as with Entra.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn repeated(&self) -> Option<&str> {
        self.names().enumerate().find(|(at, name)| self.names().take(*at).any(|other| other == *name)).map(|(_, n)| n)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What may be shown: known harmless ones as they are, of the others the length. `harmless` are further ones.
    pub(crate) fn redacted(&self, harmless: fn(&str) -> bool) -> BTreeMap<String, String> {
        let show = |name: &str, value: &str| {
            if HARMLESS.contains(&name) || harmless(name) {
                value.to_owned()
            } else {
                format!("[{} characters]", value.chars().count())
            }
        };
        self.0.iter().map(|(name, value)| (name.clone(), show(name, value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_parameter_is_found_and_an_empty_one_counts_as_missing() {
        let parameters = Parameters::parse(b"a=1&b=&c=x%20y&a=2");
        assert_eq!(
            (parameters.value("a"), parameters.value("b"), parameters.value("c")),
            (Some("1"), None, Some("x y"))
        );
        assert_eq!(parameters.repeated(), Some("a"));
        assert_eq!(Parameters::parse(b"a=1&b=2").repeated(), None);
    }

    #[test]
    fn what_is_not_known_to_be_harmless_is_not_shown() {
        let shown = Parameters::parse(b"scope=openid&code=abc&new=geheim").redacted(|_| false);
        assert_eq!(shown["scope"], "openid");
        assert_eq!((shown["code"].as_str(), shown["new"].as_str()), ("[3 characters]", "[6 characters]"));
    }
}
