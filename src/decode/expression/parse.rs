//! From tokens to operations, by precedence. They are emitted in reading order: there is no tree between.

use std::ops::Range;

use super::token::{Result, Token, Tokens, error};
use super::{Binary, Expression, ExpressionError, NESTING_MAX, OPERATIONS_MAX, Operation, TEXT_BYTES_MAX, Unary};
use crate::problem::nearest;

/// The names that a text mentions as variables, each once, before anything is resolved. What is no expression gives
/// the names in front of the mistake.
pub fn names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut tokens = Tokens::of(text);
    let mut candidate = None;
    while let Ok((token, at)) = tokens.next()
        && at.end <= TEXT_BYTES_MAX
    {
        // With a bracket behind it, it is a function.
        let is_function = token == Token::Word("(");
        if let Some(name) = candidate.filter(|name| !is_function && !names.contains(name)) {
            names.push(name);
        }
        candidate = match token {
            Token::Name(name) => Some(name),
            Token::End => break,
            _ => None,
        };
    }
    names
}

pub(super) fn expression(text: &str, resolve: &mut dyn FnMut(&str) -> Option<u16>) -> Result<Expression> {
    if text.len() > TEXT_BYTES_MAX {
        let at = text.floor_char_boundary(TEXT_BYTES_MAX)..text.len();
        let message = format!("the expression is {} bytes long: at most {TEXT_BYTES_MAX} are allowed", text.len());
        return Err(error(at, message).with_help("compute a part of it under a name of its own"));
    }
    let mut tokens = Tokens::of(text);
    let next = tokens.next()?;
    if next.0 == Token::End {
        return Err(error(0..text.len(), "the expression is empty"));
    }
    let mut parser = Parser {
        text,
        tokens,
        next,
        last_end: 0,
        resolve,
        operations: Vec::new(),
        nesting: 0,
        height: 0,
        height_max: 0,
    };
    parser.or()?;
    match parser.next.0 {
        Token::End => Ok(Expression { text: text.into(), operations: parser.operations, height: parser.height_max }),
        _ => Err(parser.operator_expected()),
    }
}

struct Parser<'t, 'r> {
    text: &'t str,
    tokens: Tokens<'t>,
    /// The token that is looked at, and where it stands.
    next: (Token<'t>, Range<usize>),
    /// Where the token before it ended.
    last_end: usize,
    resolve: &'r mut dyn FnMut(&str) -> Option<u16>,
    operations: Vec<Operation>,
    nesting: usize,
    /// How many values are on the stack behind the last operation.
    height: usize,
    height_max: usize,
}

impl<'t> Parser<'t, '_> {
    fn or(&mut self) -> Result<()> {
        self.and()?;
        while self.take("or")? {
            let left = self.emit(Operation::Or(0))?;
            self.and()?;
            self.emit(Operation::Unary(Unary::Truth))?;
            self.lead_here(left);
        }
        Ok(())
    }

    fn and(&mut self) -> Result<()> {
        self.not()?;
        while self.take("and")? {
            let left = self.emit(Operation::And(0))?;
            self.not()?;
            self.emit(Operation::Unary(Unary::Truth))?;
            self.lead_here(left);
        }
        Ok(())
    }

    fn not(&mut self) -> Result<()> {
        let mut count = 0;
        while self.take("not")? {
            count += 1;
        }
        self.comparison()?;
        for _ in 0..count {
            self.emit(Operation::Unary(Unary::Not))?;
        }
        Ok(())
    }

    fn comparison(&mut self) -> Result<()> {
        let left = self.next.1.start;
        self.arithmetic(LOOSEST)?;
        let Some(compare) = self.comparator() else { return Ok(()) };
        self.advance()?;
        let middle = self.next.1.start;
        self.arithmetic(LOOSEST)?;
        self.emit(Operation::Binary(compare))?;
        if self.comparator().is_none() {
            return Ok(());
        }
        let at = self.next.1.clone();
        let first = self.written(left..self.last_end);
        let second = self.written(middle..at.end);
        Err(error(at, "comparisons cannot be chained").with_help(format!(
            "write `{first} and {second} …`, or put brackets around what is meant to give 1 or 0"
        )))
    }

    fn comparator(&self) -> Option<Binary> {
        Some(match self.next.0 {
            Token::Word("==") => Binary::Equal,
            Token::Word("!=") => Binary::NotEqual,
            Token::Word("<") => Binary::Less,
            Token::Word("<=") => Binary::LessOrEqual,
            Token::Word(">") => Binary::Greater,
            Token::Word(">=") => Binary::GreaterOrEqual,
            _ => return None,
        })
    }

    /// The operators of two sides that bind at least as tightly as `tightness`.
    fn arithmetic(&mut self, tightness: u8) -> Result<()> {
        self.signed()?;
        while let Some((tighter, binary)) = self.operator()
            && tighter >= tightness
        {
            self.advance()?;
            self.arithmetic(tighter + 1)?;
            self.emit(Operation::Binary(binary))?;
        }
        Ok(())
    }

    fn operator(&self) -> Option<(u8, Binary)> {
        Some(match self.next.0 {
            Token::Word("|") => (LOOSEST, Binary::BitOr),
            Token::Word("xor") => (2, Binary::BitXor),
            Token::Word("&") => (3, Binary::BitAnd),
            Token::Word("<<") => (4, Binary::ShiftLeft),
            Token::Word(">>") => (4, Binary::ShiftRight),
            Token::Word("+") => (5, Binary::Add),
            Token::Word("-") => (5, Binary::Subtract),
            Token::Word("*") => (6, Binary::Multiply),
            Token::Word("/") => (6, Binary::Divide),
            Token::Word("//") => (6, Binary::FloorDivide),
            Token::Word("%") => (6, Binary::Remainder),
            _ => return None,
        })
    }

    fn signed(&mut self) -> Result<()> {
        let mut signs = Vec::new();
        loop {
            match self.next.0 {
                Token::Word("-") => signs.push(Unary::Negate),
                Token::Word("~") => signs.push(Unary::Complement),
                Token::Word("+") => {}
                _ => break,
            }
            self.advance()?;
        }
        self.power()?;
        for sign in signs.into_iter().rev() {
            self.emit(Operation::Unary(sign))?;
        }
        Ok(())
    }

    fn power(&mut self) -> Result<()> {
        self.operand()?;
        if self.next.0 == Token::Word("^") {
            let at = self.advance()?;
            self.nested(at, Self::signed)?;
            self.emit(Operation::Binary(Binary::Power))?;
        }
        Ok(())
    }

    fn operand(&mut self) -> Result<()> {
        match self.next.0 {
            Token::Number(value) => {
                self.advance()?;
                self.emit(Operation::Constant(value))?;
            }
            Token::Name(name) => {
                let at = self.advance()?;
                if self.next.0 == Token::Word("(") {
                    return self.call(name, at);
                }
                let variable = self.variable(name, at)?;
                self.emit(Operation::Variable(variable))?;
            }
            Token::Word("(") => {
                let at = self.advance()?;
                self.nested(at.clone(), Self::or)?;
                self.close(at)?;
            }
            _ => return Err(self.value_expected()),
        }
        Ok(())
    }

    fn variable(&mut self, name: &str, at: Range<usize>) -> Result<u16> {
        (self.resolve)(name).ok_or_else(|| ExpressionError {
            at,
            message: format!("`{name}` is no variable that is read before"),
            help: match name {
                "true" => Some("write 1".to_owned()),
                "false" => Some("write 0".to_owned()),
                _ => function(name).map(|function| format!("the function is written `{}`", function.written)),
            },
            unknown: Some(name.to_owned()),
        })
    }

    /// A function's arguments; the bracket in front of them is the next token.
    fn call(&mut self, name: &str, name_at: Range<usize>) -> Result<()> {
        let Some(function) = function(name) else { return Err(self.no_function(name, name_at)) };
        let bracket = self.advance()?;
        let mut count = 0;
        let mut jump = 0;
        if self.next.0 != Token::Word(")") {
            loop {
                self.nested(bracket.clone(), |parser| parser.argument(function, count, &mut jump))?;
                count += 1;
                if !self.take(",")? {
                    break;
                }
            }
        }
        self.close(bracket)?;
        if !function.arguments.contains(&count) {
            let message = format!("`{name}` does not take {count} argument{}", if count == 1 { "" } else { "s" });
            return Err(error(name_at.start..self.last_end, message)
                .with_help(format!("it is written `{}`", function.written)));
        }
        let operation = match function.action {
            Action::Unary(unary) => Operation::Unary(unary),
            Action::Binary(binary) => Operation::Binary(binary),
            Action::Round if count == 1 => Operation::Unary(Unary::Round),
            Action::Round => Operation::Binary(Binary::RoundTo),
            Action::Bits => Operation::Bits,
            Action::If | Action::Default => {
                self.lead_here(jump);
                return Ok(());
            }
            Action::Has | Action::Fold(_) => return Ok(()),
        };
        self.emit(operation)?;
        Ok(())
    }

    fn no_function(&mut self, name: &str, at: Range<usize>) -> ExpressionError {
        let unknown = error(at, format!("`{name}` is no function"));
        if name == "log" {
            return unknown.with_help("write `ln(a)` or `log10(a)`");
        }
        if (self.resolve)(name).is_some() {
            return unknown.with_help("an operator is missing in front of the bracket");
        }
        match nearest(name, FUNCTIONS.iter().map(|function| function.name)) {
            Some(known) => unknown.with_help(format!("did you mean `{known}`?")),
            None => unknown,
        }
    }

    /// One argument with what has to stand around it; `jump` is the operation that passes over it.
    fn argument(&mut self, function: &Function, index: usize, jump: &mut usize) -> Result<()> {
        match (function.action, index) {
            (Action::Has, 0) => {
                let variable = self.lone_variable(function)?;
                self.emit(Operation::Has(variable))?;
            }
            (Action::Default, 0) => {
                let variable = self.lone_variable(function)?;
                *jump = self.emit(Operation::Default { variable, behind: 0 })?;
            }
            (Action::If, 1) => {
                *jump = self.emit(Operation::JumpIfFalse(0))?;
                self.or()?;
            }
            (Action::If, 2) => {
                let end_of_first = self.emit(Operation::Jump(0))?;
                self.lead_here(*jump);
                *jump = end_of_first;
                // Only one of the two is computed.
                self.height = self.height.saturating_sub(1);
                self.or()?;
            }
            (Action::Fold(binary), 1..) => {
                self.or()?;
                self.emit(Operation::Binary(binary))?;
            }
            _ => self.or()?,
        }
        Ok(())
    }

    fn lone_variable(&mut self, function: &Function) -> Result<u16> {
        let start = self.next.1.start;
        if let Token::Name(name) = self.next.0 {
            let at = self.advance()?;
            if matches!(self.next.0, Token::Word("," | ")") | Token::End) {
                return self.variable(name, at);
            }
        }
        let at = start..self.next.1.end;
        let message = format!("`{}` asks whether a variable was read, so its name has to stand alone", function.name);
        Err(error(at, message).with_help(format!("it is written `{}`", function.written)))
    }

    /// Parses one level deeper; `at` is what leads there.
    fn nested(&mut self, at: Range<usize>, parse: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.nesting == NESTING_MAX {
            let message = format!("the expression is nested more than {NESTING_MAX} deep");
            return Err(error(at, message).with_help("compute a part of it under a name of its own"));
        }
        self.nesting += 1;
        parse(self)?;
        self.nesting -= 1;
        Ok(())
    }

    fn close(&mut self, bracket: Range<usize>) -> Result<()> {
        if self.take(")")? {
            return Ok(());
        }
        Err(match self.next.0 {
            Token::End => error(bracket, "this bracket is not closed"),
            _ => self.operator_expected(),
        })
    }

    /// Adds an operation and gives its index.
    fn emit(&mut self, operation: Operation) -> Result<usize> {
        let index = self.operations.len();
        if index == OPERATIONS_MAX {
            let message = format!("the expression has more than {OPERATIONS_MAX} operations");
            return Err(error(0..self.text.len(), message).with_help("compute a part of it under a name of its own"));
        }
        self.operations.push(operation);
        let (taken, given) = match operation {
            Operation::Constant(_) | Operation::Variable(_) | Operation::Has(_) => (0, 1),
            Operation::Unary(_) => (1, 1),
            Operation::Binary(_) => (2, 1),
            Operation::Bits => (3, 1),
            // The value that these may leave comes with a jump over what computes the other.
            Operation::And(_) | Operation::Or(_) | Operation::JumpIfFalse(_) => (1, 0),
            Operation::Default { .. } | Operation::Jump(_) => (0, 0),
        };
        self.height = self.height.saturating_sub(taken) + given;
        self.height_max = self.height_max.max(self.height);
        Ok(index)
    }

    /// Lets the jump at `index` lead to the next operation.
    fn lead_here(&mut self, index: usize) {
        let here = self.operations.len() as u16;
        match self.operations.get_mut(index) {
            Some(
                Operation::Jump(target)
                | Operation::JumpIfFalse(target)
                | Operation::And(target)
                | Operation::Or(target)
                | Operation::Default { behind: target, .. },
            ) => *target = here,
            _ => debug_assert!(false, "operation {index} is no jump"),
        }
    }

    /// Goes to the next token, and tells where this one stood.
    fn advance(&mut self) -> Result<Range<usize>> {
        let next = self.tokens.next()?;
        let at = std::mem::replace(&mut self.next, next).1;
        self.last_end = at.end;
        Ok(at)
    }

    fn take(&mut self, word: &str) -> Result<bool> {
        let is_next = self.next.0 == Token::Word(word);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn written(&self, at: Range<usize>) -> &'t str {
        self.text.get(at).unwrap_or_default()
    }

    fn value_expected(&self) -> ExpressionError {
        let at = self.next.1.clone();
        match self.next.0 {
            Token::End => error(at, "a value is missing at the end"),
            Token::Word("not") => error(at, "`not` binds too loosely to stand behind this operator")
                .with_help("put brackets around it: `(not …)`"),
            _ => error(at.clone(), format!("a value is missing in front of `{}`", self.written(at))),
        }
    }

    fn operator_expected(&self) -> ExpressionError {
        let at = self.next.1.clone();
        match self.next.0 {
            Token::Word(")") => error(at, "`)` has no `(`"),
            Token::Word(",") => error(at, "`,` does not stand between the arguments of a function")
                .with_help("decimals are written with a point: 1.5"),
            _ => error(at.clone(), format!("an operator is missing in front of `{}`", self.written(at))),
        }
    }
}

/// The tightness of `|`, the loosest of the operators below comparisons.
const LOOSEST: u8 = 1;

struct Function {
    name: &'static str,
    written: &'static str,
    /// How many arguments it takes.
    arguments: std::ops::RangeInclusive<usize>,
    action: Action,
}

#[derive(Clone, Copy)]
enum Action {
    If,
    Has,
    Default,
    Unary(Unary),
    Binary(Binary),
    /// Its value so far with each further argument.
    Fold(Binary),
    Round,
    Bits,
}

fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

const fn unary(name: &'static str, written: &'static str, unary: Unary) -> Function {
    Function { name, written, arguments: 1..=1, action: Action::Unary(unary) }
}

const fn binary(name: &'static str, written: &'static str, binary: Binary) -> Function {
    Function { name, written, arguments: 2..=2, action: Action::Binary(binary) }
}

const fn other(
    name: &'static str,
    written: &'static str,
    arguments: std::ops::RangeInclusive<usize>,
    action: Action,
) -> Function {
    Function { name, written, arguments, action }
}

static FUNCTIONS: [Function; 18] = [
    other("if", "if(condition, then, otherwise)", 3..=3, Action::If),
    other("has", "has(name)", 1..=1, Action::Has),
    other("default", "default(name, otherwise)", 2..=2, Action::Default),
    other("min", "min(a, b, …), up to 8", 2..=8, Action::Fold(Binary::Minimum)),
    other("max", "max(a, b, …), up to 8", 2..=8, Action::Fold(Binary::Maximum)),
    unary("abs", "abs(a)", Unary::Absolute),
    unary("sign", "sign(a)", Unary::Sign),
    unary("floor", "floor(a)", Unary::Floor),
    unary("ceil", "ceil(a)", Unary::Ceil),
    other("round", "round(a) or round(a, places)", 1..=2, Action::Round),
    unary("sqrt", "sqrt(a)", Unary::SquareRoot),
    unary("exp", "exp(a)", Unary::Exponential),
    unary("ln", "ln(a)", Unary::NaturalLogarithm),
    unary("log10", "log10(a)", Unary::DecimalLogarithm),
    binary("pow", "pow(a, b)", Binary::Power),
    binary("decimal", "decimal(mantissa, exponent)", Binary::Decimal),
    binary("bit", "bit(a, number)", Binary::Bit),
    other("bits", "bits(a, low, high)", 3..=3, Action::Bits),
];
