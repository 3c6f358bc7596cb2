//! The words of a filter's text, one after the other; blanks and comments are passed over.

use crate::FilterError;

const KEYWORDS: [&str; 12] = [
    "NOT",
    "AND",
    "OR",
    "BETWEEN",
    "IN",
    "TRUE",
    "FALSE",
    "NULL",
    "IS",
    "CONTAINS",
    "STARTSWITH",
    "ENDSWITH",
];
/// A symbol comes before those that it begins with.
const SYMBOLS: [&str; 11] = ["<>", "<=", ">=", "<", ">", "=", "(", ")", ",", "+", "-"];
const BLANKS: [char; 5] = [' ', '\t', '\n', '\r', '\x0c'];
/// An error shows no more of a token.
const SHOWN_CHARS_MAX: usize = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Name,
    /// A string with its quotes.
    Text,
    Integer,
    Float,
    Keyword,
    Symbol,
    End,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'t> {
    pub(crate) kind: Kind,
    /// As written.
    pub(crate) text: &'t str,
    /// Number of its first character.
    pub(crate) at: usize,
}

impl Token<'_> {
    /// Whether it is this keyword, in any case, or this symbol.
    pub(crate) fn is(&self, spelling: &str) -> bool {
        matches!(self.kind, Kind::Keyword | Kind::Symbol) && self.text.eq_ignore_ascii_case(spelling)
    }

    /// How an error shows it.
    pub(crate) fn shown(&self) -> String {
        if self.kind == Kind::End {
            return "the end".to_owned();
        }
        let clipped: String = self.text.chars().take(SHOWN_CHARS_MAX).collect();
        let dots = if clipped.len() < self.text.len() { "…" } else { "" };
        format!("`{clipped}{dots}`")
    }

    pub(crate) fn unexpected(&self, expected: &'static str) -> FilterError {
        FilterError::Syntax { at: self.at, expected, found: self.shown() }
    }
}

pub(crate) struct Lexer<'t> {
    rest: &'t str,
    /// Number of the first character of `rest`.
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { rest: text, at: 1 }
    }

    /// The next token; `End` again and again at the end.
    pub(crate) fn next(&mut self) -> Result<Token<'t>, FilterError> {
        self.pass_blanks()?;
        let rest = self.rest;
        let Some(first) = rest.chars().next() else { return Ok(self.take(Kind::End, 0)) };
        if first == '\'' {
            let bytes = text_bytes(rest).ok_or_else(|| self.unclosed("a string that ends with `'`"))?;
            return Ok(self.take(Kind::Text, bytes));
        }
        if let Some((kind, bytes)) = number_bytes(rest) {
            return Ok(self.take(kind, bytes));
        }
        let word = rest.find(|c: char| !is_of_name(c)).unwrap_or(rest.len());
        if word > 0 {
            let is_keyword = KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(&rest[..word]));
            return Ok(self.take(if is_keyword { Kind::Keyword } else { Kind::Name }, word));
        }
        if let Some(symbol) = SYMBOLS.iter().find(|&&symbol| rest.starts_with(symbol)) {
            return Ok(self.take(Kind::Symbol, symbol.len()));
        }
        Err(self.take(Kind::Symbol, first.len_utf8()).unexpected("a name, a value or an operator"))
    }

    fn pass_blanks(&mut self) -> Result<(), FilterError> {
        loop {
            let bytes = if self.rest.starts_with(BLANKS) {
                self.rest.find(|c| !BLANKS.contains(&c)).unwrap_or(self.rest.len())
            } else if self.rest.starts_with("--") {
                self.rest.find(['\n', '\r']).unwrap_or(self.rest.len())
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                let end = comment.find("*/").ok_or_else(|| self.unclosed("a comment that ends with `*/`"))?;
                "/*".len() + end + "*/".len()
            } else {
                return Ok(());
            };
            self.pass(bytes);
        }
    }

    fn unclosed(&self, expected: &'static str) -> FilterError {
        Token { kind: Kind::Text, text: self.rest, at: self.at }.unexpected(expected)
    }

    fn take(&mut self, kind: Kind, bytes: usize) -> Token<'t> {
        let at = self.at;
        Token { kind, text: self.pass(bytes), at }
    }

    fn pass(&mut self, bytes: usize) -> &'t str {
        let (passed, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.at += passed.chars().count();
        passed
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}

/// Bytes of the string that `rest` begins with, quotes included; `None` if it does not end.
fn text_bytes(rest: &str) -> Option<usize> {
    let mut end = 1;
    loop {
        end += rest[end..].find('\'')? + 1;
        if !rest[end..].starts_with('\'') {
            return Some(end);
        }
        end += 1;
    }
}

/// What number `rest` begins with, and its bytes. `007` is three numbers: an integer begins with 0 only if it is 0.
fn number_bytes(rest: &str) -> Option<(Kind, usize)> {
    let whole = digits(rest);
    let mut float = whole;
    if let Some(fraction) = rest[whole..].strip_prefix('.').map(digits)
        && whole + fraction > 0
    {
        float += 1 + fraction;
    }
    if float > 0 {
        float += exponent_bytes(&rest[float..]);
    }
    if float > whole {
        return Some((Kind::Float, float));
    }
    match whole {
        0 => None,
        _ if rest.starts_with('0') => Some((Kind::Integer, 1)),
        _ => Some((Kind::Integer, whole + usize::from(rest[whole..].starts_with(['l', 'L'])))),
    }
}

fn exponent_bytes(rest: &str) -> usize {
    let Some(power) = rest.strip_prefix(['e', 'E']) else { return 0 };
    let sign = usize::from(power.starts_with(['+', '-']));
    match digits(&power[sign..]) {
        0 => 0,
        digits => 1 + sign + digits,
    }
}

fn digits(rest: &str) -> usize {
    rest.bytes().take_while(u8::is_ascii_digit).count()
}
