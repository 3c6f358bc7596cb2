//! Which messages of a topic a consumer wants.

use wire::v2;

/// Which messages of a topic are wanted. A text is a filter by tags: `"*".into()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `*`, or tags with `||` between them.
    Tags(String),
    /// A condition on properties.
    Sql(String),
}

impl Filter {
    /// All messages.
    pub fn all() -> Self {
        Self::Tags("*".to_owned())
    }

    pub(crate) fn to_proto(&self) -> v2::FilterExpression {
        let (kind, expression) = match self {
            Self::Tags(text) => (v2::FilterType::Tag, text),
            Self::Sql(text) => (v2::FilterType::Sql, text),
        };
        v2::FilterExpression { r#type: kind.into(), expression: expression.clone() }
    }
}

impl From<&str> for Filter {
    fn from(tags: &str) -> Self {
        Self::Tags(tags.to_owned())
    }
}

impl From<String> for Filter {
    fn from(tags: String) -> Self {
        Self::Tags(tags)
    }
}
