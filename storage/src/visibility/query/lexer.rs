//! Lexer: a query's text as tokens. One pass, no look-behind; every byte is looked at a bounded number of times.

use super::super::error::QueryError;

/// One token and where it ends, for messages.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Bytes from the query's start to the token's end.
    pub(super) end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A bare word: a name or a keyword.
    Word(String),
    /// A name in back-quotes, which is no keyword.
    Name(String),
    String(String),
    Number(String),
    /// One of the operators and signs of [`SIGNS`].
    Sign(&'static str),
    /// What begins no token of the language.
    Unknown(char),
    End,
}

/// Longer ones first, so that the first match is the right one.
const SIGNS: [&str; 23] = [
    "<=>", "<=", "<>", "<", ">=", ">", "=", "!=", "!", "&&", "&", "||", "|", "(", ")", ",", ";", ".", "+",
    "-", "*", "/", "~",
];

/// How much of a token a message repeats.
const NEAR_CHARS_MAX: usize = 100;

/// Splits the text; the last token is the end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks()?;
        let kind = lexer.token()?;
        let last = kind == Kind::End;
        tokens.push(Token { kind, end: lexer.at });
        if last {
            return Ok(tokens);
        }
    }
}

/// Makes the message for what the parser did not expect. The position is that of the token's end, from 1.
pub(super) fn syntax_error(token: &Token) -> QueryError {
    let near = match &token.kind {
        Kind::Word(text) if super::parser::is_keyword(text) => text.to_ascii_lowercase(),
        Kind::Word(text) | Kind::Name(text) | Kind::String(text) | Kind::Number(text) => text.clone(),
        Kind::Sign(_) | Kind::Unknown(_) | Kind::End => String::new(),
    };
    malformed(token.end, &near)
}

/// What a query is the end of: positions in errors count from its beginning, as the official server's do.
const STATEMENT: &str = "select * from dummy where  ";

fn malformed(end: usize, near: &str) -> QueryError {
    let position = STATEMENT.len() + end + 1;
    let near = if near.is_empty() {
        String::new()
    } else {
        format!(" near '{near:.NEAR_CHARS_MAX$}'")
    };
    QueryError::new(format!(
        "malformed SQL query: syntax error at position {position}{near}"
    ))
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips white space and comments.
    fn skip_blanks(&mut self) -> Result<(), QueryError> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("--") || trimmed.starts_with('#') {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                let Some(length) = comment.find("*/") else {
                    return Err(malformed(self.text.len(), trimmed));
                };
                self.at += length + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Kind, QueryError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(Kind::End);
        };
        match first {
            '\'' | '"' => self.string(first).map(Kind::String),
            '`' => self.name().map(Kind::Name),
            '0'..='9' => self.number().map(Kind::Number),
            '.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
                self.number().map(Kind::Number)
            }
            _ if begins_word(first) => Ok(Kind::Word(self.word())),
            _ => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                self.at += sign.map_or(first.len_utf8(), str::len);
                Ok(sign.map_or(Kind::Unknown(first), Kind::Sign))
            }
        }
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let length = rest.find(|c| !continues_word(c)).unwrap_or(rest.len());
        self.at += length;
        rest[..length].to_owned()
    }

    /// Reads digits, a point and an exponent; the parser decides what number they are.
    fn number(&mut self) -> Result<String, QueryError> {
        let rest = self.rest().as_bytes();
        let digits = |from: usize| {
            from + rest[from..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count()
        };
        let mut length = digits(0);
        if rest.get(length) == Some(&b'.') {
            length = digits(length + 1);
        }
        if matches!(rest.get(length), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(length + 1), Some(b'+' | b'-')));
            let end = digits(length + 1 + sign);
            if end > length + 1 + sign {
                length = end;
            }
        }
        let text = self.rest()[..length].to_owned();
        self.at += length;
        if self.rest().starts_with(continues_word) {
            return Err(malformed(self.at, &text));
        }
        Ok(text)
    }

    /// Reads a name in back-quotes; a doubled one stands for itself.
    fn name(&mut self) -> Result<String, QueryError> {
        let name = self.quoted('`', false)?;
        if name.is_empty() {
            Err(malformed(self.at, ""))
        } else {
            Ok(name)
        }
    }

    /// Reads a string; a doubled quote stands for itself, a backslash takes the next character as it is.
    fn string(&mut self, quote: char) -> Result<String, QueryError> {
        self.quoted(quote, true)
    }

    fn quoted(&mut self, quote: char, escapes: bool) -> Result<String, QueryError> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                if chars.next_if(|(_, next)| *next == quote).is_none() {
                    self.at += at + quote.len_utf8();
                    return Ok(text);
                }
                text.push(quote);
            } else if c == '\\' && escapes {
                match chars.next() {
                    Some((_, escaped)) => text.push(unescape(escaped)),
                    None => break,
                }
            } else {
                text.push(c);
            }
        }
        Err(malformed(self.text.len(), &text))
    }
}

fn begins_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == '@'
}

fn continues_word(c: char) -> bool {
    begins_word(c) || c.is_ascii_digit() || c == '$'
}

fn unescape(c: char) -> char {
    match c {
        '0' => '\0',
        'b' => '\u{8}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'Z' => '\u{1a}',
        other => other,
    }
}
