//! HTML that can be put together from literals and escaped text only.
//! Not here: any page.

/// A piece of HTML.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// What the program itself says.
    pub(super) fn trusted(html: &'static str) -> Self {
        Self(html.to_owned())
    }

    pub(super) fn concat(pieces: impl IntoIterator<Item = Self>) -> Self {
        Self(pieces.into_iter().map(|piece| piece.0).collect())
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

impl From<&'static str> for Html {
    fn from(html: &'static str) -> Self {
        Self::trusted(html)
    }
}

/// Text from anywhere, for an element or for an attribute in double quotes.
pub(super) fn text(text: &str) -> Html {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    Html(escaped)
}

/// Puts pieces together: literals, and expressions of type `Html`.
macro_rules! html {
    (@piece $literal:literal) => { Html::from($literal) };
    (@all [$($pieces:expr,)*]) => { Html::concat([$($pieces,)*]) };
    (@all [$($pieces:expr,)*] $literal:literal $($rest:tt)*) => {
        html!(@all [$($pieces,)* Html::from($literal),] $($rest)*)
    };
    (@all [$($pieces:expr,)*] $function:ident ($($arguments:tt)*) $($rest:tt)*) => {
        html!(@all [$($pieces,)* $function($($arguments)*),] $($rest)*)
    };
    (@all [$($pieces:expr,)*] Html::$function:ident ($($arguments:tt)*) $($rest:tt)*) => {
        html!(@all [$($pieces,)* Html::$function($($arguments)*),] $($rest)*)
    };
    (@all [$($pieces:expr,)*] $name:ident $($rest:tt)*) => {
        html!(@all [$($pieces,)* $name,] $($rest)*)
    };
    ($($all:tt)*) => { html!(@all [] $($all)*) };
}
pub(super) use html;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        let escaped = text(r#"<script>"a" & 'b'</script>"#).into_string();
        assert_eq!(escaped, "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;");
    }
}
