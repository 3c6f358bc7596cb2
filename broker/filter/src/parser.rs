//! The grammar, a function for each of its rules; it reads one token ahead.

use std::collections::BTreeSet;

use crate::check::Part;
use crate::lexer::{Kind, Lexer, Token};
use crate::number::Number;
use crate::tree::{Condition, Likeness, Operand, Order};
use crate::{DEPTH_MAX, FilterError};

const ORDERS: [(&str, Order); 4] =
    [(">", Order::Greater), (">=", Order::GreaterOrEqual), ("<", Order::Less), ("<=", Order::LessOrEqual)];
const LIKENESSES: [(&str, Likeness); 3] = [
    ("CONTAINS", Likeness::Contains),
    ("STARTSWITH", Likeness::StartsWith),
    ("ENDSWITH", Likeness::EndsWith),
];

type Parsed = Result<Part, FilterError>;
type Rule<'t> = fn(&mut Parser<'t>) -> Parsed;

/// The condition that all of the text is.
pub(crate) fn parse(text: &str) -> Result<Condition, FilterError> {
    let mut lexer = Lexer::new(text);
    let mut parser = Parser { token: lexer.next()?, lexer, depth: 0 };
    let whole = parser.or()?;
    if parser.token.kind != Kind::End {
        return Err(parser.token.unexpected("an operator or the end"));
    }
    whole.into_condition()
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    /// The next one, not yet taken.
    token: Token<'t>,
    /// Rules that are open within themselves, at most `DEPTH_MAX`.
    depth: usize,
}

impl<'t> Parser<'t> {
    fn or(&mut self) -> Parsed {
        self.joined("OR", Self::and, Condition::Or)
    }

    fn and(&mut self) -> Parsed {
        self.joined("AND", Self::equal, Condition::And)
    }

    fn joined(&mut self, by: &str, rule: Rule<'t>, join: fn(Vec<Condition>) -> Condition) -> Parsed {
        let first = rule(self)?;
        if self.token.is(by) { self.join(first, by, rule, join) } else { Ok(first) }
    }

    fn join(
        &mut self,
        first: Part,
        by: &str,
        rule: Rule<'t>,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Parsed {
        let (at, mut below) = (first.at(), first.height());
        let mut conditions = vec![first.into_condition()?];
        while self.take(by)? {
            let next = rule(self)?;
            below = below.max(next.height());
            conditions.push(next.into_condition()?);
        }
        Part::condition(join(conditions), at, below)
    }

    fn equal(&mut self) -> Parsed {
        let mut left = self.compare()?;
        loop {
            left = if self.take("=")? {
                self.equal_to(left, false)?
            } else if self.take("<>")? {
                self.equal_to(left, true)?
            } else if self.take("IS")? {
                self.null(left)?
            } else {
                return Ok(left);
            };
        }
    }

    fn equal_to(&mut self, left: Part, negated: bool) -> Parsed {
        let right = self.compare()?;
        left.check_equal(&right)?;
        let (at, below) = (left.at(), left.height().max(right.height()));
        let (left, right) = (left.into_operand(), right.into_operand());
        Part::condition(Condition::Equal { left, right, negated }, at, below)
    }

    fn null(&mut self, operand: Part) -> Parsed {
        let negated = self.take("NOT")?;
        self.expect("NULL", if negated { "NULL" } else { "NULL or NOT NULL" })?;
        let (at, below) = (operand.at(), operand.height());
        Part::condition(Condition::IsNull { operand: operand.into_operand(), negated }, at, below)
    }

    fn compare(&mut self) -> Parsed {
        let mut left = self.unary()?;
        loop {
            if let Some(by) = self.take_one_of(&ORDERS)? {
                left = self.ordered(left, by)?;
                continue;
            }
            let negated = self.take("NOT")?;
            left = if self.take("BETWEEN")? {
                self.between(left, negated)?
            } else if self.take("IN")? {
                self.among(left, negated)?
            } else if let Some(likeness) = self.take_one_of(&LIKENESSES)? {
                self.like(left, likeness, negated)?
            } else if negated {
                return Err(self.token.unexpected("BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH"));
            } else {
                return Ok(left);
            };
        }
    }

    fn ordered(&mut self, left: Part, by: Order) -> Parsed {
        left.check_ordered()?;
        let right = self.unary()?;
        right.check_ordered()?;
        let (at, below) = (left.at(), left.height().max(right.height()));
        let (left, right) = (left.into_operand(), right.into_operand());
        Part::condition(Condition::Ordered { left, by, right }, at, below)
    }

    fn between(&mut self, operand: Part, negated: bool) -> Parsed {
        operand.check_ordered()?;
        let low = self.unary()?;
        low.check_ordered()?;
        self.expect("AND", "AND and the upper bound")?;
        let high = self.unary()?;
        high.check_ordered()?;
        if !negated {
            low.check_ascends_to(&high)?;
        }
        let (at, below) = (operand.at(), operand.height().max(low.height()).max(high.height()));
        let (operand, low, high) = (operand.into_operand(), low.into_operand(), high.into_operand());
        Part::condition(Condition::Between { operand, low, high, negated }, at, below)
    }

    fn among(&mut self, operand: Part, negated: bool) -> Parsed {
        let (at, below) = (operand.at(), operand.height());
        let name = operand.into_property()?;
        self.expect("(", "`(` and strings")?;
        let mut among = BTreeSet::from([self.string()?]);
        while self.take(",")? {
            among.insert(self.string()?);
        }
        self.expect(")", "`,` or `)`")?;
        Part::condition(Condition::In { name, among, negated }, at, below)
    }

    fn like(&mut self, operand: Part, likeness: Likeness, negated: bool) -> Parsed {
        let pattern = self.string()?;
        let (at, below) = (operand.at(), operand.height());
        let operand = operand.into_operand();
        Part::condition(Condition::Like { operand, likeness, pattern, negated }, at, below)
    }

    fn unary(&mut self) -> Parsed {
        let at = self.token.at;
        if self.take("+")? {
            self.deeper(Self::unary)
        } else if self.take("-")? {
            self.minus(at)
        } else if self.take("NOT")? {
            self.not(at)
        } else if self.take("(")? {
            let inner = self.deeper(Self::or)?;
            self.expect(")", "an operator or `)`")?;
            Ok(inner)
        } else {
            self.primary()
        }
    }

    fn minus(&mut self, at: usize) -> Parsed {
        let inner = self.deeper(Self::unary)?;
        let below = inner.height();
        Part::new(Operand::Negated(Box::new(inner.into_operand())), at, below)
    }

    fn not(&mut self, at: usize) -> Parsed {
        let inner = self.deeper(Self::unary)?;
        let below = inner.height();
        Part::condition(Condition::Not(Box::new(inner.into_condition()?)), at, below)
    }

    fn primary(&mut self) -> Parsed {
        let token = self.token;
        let constant = |truth| Operand::Condition(Box::new(Condition::Constant(truth)));
        let operand = match token.kind {
            Kind::Name => Operand::Property(token.text.into()),
            Kind::Text => Operand::Text(unquoted(token.text)),
            Kind::Integer => number(Number::integer, token, "an integer of at most 9223372036854775807")?,
            Kind::Float => {
                number(Number::float, token, "a number above 0 and at most 1.7976931348623157E308")?
            }
            Kind::Keyword if token.is("TRUE") => constant(Some(true)),
            Kind::Keyword if token.is("FALSE") => constant(Some(false)),
            Kind::Keyword if token.is("NULL") => constant(None),
            Kind::Keyword | Kind::Symbol | Kind::End => return Err(token.unexpected("a value")),
        };
        self.advance()?;
        Part::new(operand, token.at, 0)
    }

    fn string(&mut self) -> Result<Box<str>, FilterError> {
        if self.token.kind != Kind::Text {
            return Err(self.token.unexpected("a string"));
        }
        Ok(unquoted(self.advance()?.text))
    }

    /// Parses by a rule that may come back to the one that calls it.
    fn deeper(&mut self, rule: Rule<'t>) -> Parsed {
        if self.depth == DEPTH_MAX {
            return Err(FilterError::TooDeep { at: self.token.at, limit: DEPTH_MAX });
        }
        self.depth += 1;
        let part = rule(self);
        self.depth -= 1;
        part
    }

    fn take_one_of<T: Copy>(&mut self, spellings: &[(&str, T)]) -> Result<Option<T>, FilterError> {
        for &(spelling, meaning) in spellings {
            if self.take(spelling)? {
                return Ok(Some(meaning));
            }
        }
        Ok(None)
    }

    fn take(&mut self, spelling: &str) -> Result<bool, FilterError> {
        let is_next = self.token.is(spelling);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn expect(&mut self, spelling: &str, expected: &'static str) -> Result<(), FilterError> {
        if self.take(spelling)? { Ok(()) } else { Err(self.token.unexpected(expected)) }
    }

    fn advance(&mut self) -> Result<Token<'t>, FilterError> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.token, next))
    }
}

fn unquoted(text: &str) -> Box<str> {
    text[1..text.len() - 1].replace("''", "'").into()
}

fn number(
    read: fn(&str) -> Option<Number>,
    token: Token<'_>,
    expected: &'static str,
) -> Result<Operand, FilterError> {
    read(token.text).map(Operand::Number).ok_or_else(|| FilterError::Type {
        at: token.at,
        expected,
        found: token.shown(),
    })
}
