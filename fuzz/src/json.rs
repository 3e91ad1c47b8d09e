//! The grammar of RFC 8259, read the plain way: no recursion, nothing shared with the product.

/// A value as it was written, with its kind by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a>(pub(super) &'a str);

/// Names and values of a text that is one object; `None` if it is anything else.
pub(super) fn members(text: &str) -> Option<Vec<(Raw<'_>, Raw<'_>)>> {
    let mut at = Cursor { text, at: 0 };
    let (mut members, mut is_first) = (Vec::new(), true);
    at.token(b'{')?;
    loop {
        if is_first && at.token(b'}').is_some() {
            break;
        }
        is_first = false;
        at.space();
        let name = at.raw(Cursor::string)?;
        at.token(b':')?;
        at.space();
        let value = at.raw(Cursor::value)?;
        members.push((name, value));
        if at.token(b',').is_none() {
            at.token(b'}')?;
            break;
        }
    }
    at.space();
    (at.at == text.len()).then_some(members)
}

impl<'a> Raw<'a> {
    /// The text of a string; `None` if it is none, or has a lone surrogate.
    pub(super) fn text(self) -> Option<String> {
        match serde_json::from_str(self.0).ok()? {
            serde_json::Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// An integer without fraction and exponent, if its size is at most 2^53 - 1.
    pub(super) fn integer(self) -> Option<i64> {
        const MAX: &str = "9007199254740991";
        let digits = self.0.strip_prefix('-').unwrap_or(self.0);
        let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_small = digits.len() < MAX.len() || digits.len() == MAX.len() && digits <= MAX;
        (is_plain && is_small).then(|| self.0.parse().ok()).flatten()
    }

    /// How deep it is nested.
    pub(super) fn depth(self) -> usize {
        let (mut depth, mut deepest, mut in_string, mut is_escaped) = (0_usize, 0, false, false);
        for byte in self.0.bytes() {
            match (in_string, byte) {
                (true, _) if is_escaped => is_escaped = false,
                (true, b'\\') => is_escaped = true,
                (_, b'"') => in_string = !in_string,
                (false, b'[' | b'{') => depth += 1,
                (false, b']' | b'}') => depth -= 1,
                _ => {}
            }
            deepest = deepest.max(depth);
        }
        deepest
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, wanted: impl Fn(u8) -> bool) -> Option<u8> {
        let byte = self.peek().filter(|byte| wanted(*byte))?;
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while self.eat(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).is_some() {}
    }

    /// One byte with space before it; nothing is taken if there is another.
    fn token(&mut self, wanted: u8) -> Option<()> {
        let before = self.at;
        self.space();
        let found = self.eat(|byte| byte == wanted);
        if found.is_none() {
            self.at = before;
        }
        found.map(drop)
    }

    /// What a reader passes over.
    fn raw(&mut self, read: impl Fn(&mut Self) -> Option<()>) -> Option<Raw<'a>> {
        let from = self.at;
        read(self)?;
        Some(Raw(&self.text[from..self.at]))
    }

    fn string(&mut self) -> Option<()> {
        self.eat(|byte| byte == b'"')?;
        loop {
            match self.eat(|byte| byte >= 0x20)? {
                b'"' => return Some(()),
                b'\\' if self.eat(|byte| b"\"\\/bfnrt".contains(&byte)).is_none() => {
                    self.eat(|byte| byte == b'u')?;
                    for _ in 0..4 {
                        self.eat(|byte| byte.is_ascii_hexdigit())?;
                    }
                }
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        self.eat(|byte| byte == b'-');
        if self.eat(|byte| byte == b'0').is_none() {
            self.digits()?;
        }
        if self.eat(|byte| byte == b'.').is_some() {
            self.digits()?;
        }
        if self.eat(|byte| matches!(byte, b'e' | b'E')).is_some() {
            self.eat(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        self.eat(|byte| byte.is_ascii_digit())?;
        while self.eat(|byte| byte.is_ascii_digit()).is_some() {}
        Some(())
    }

    fn scalar(&mut self) -> Option<()> {
        let rest = &self.text[self.at..];
        match self.peek()? {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                let word = ["true", "false", "null"].into_iter().find(|w| rest.starts_with(w))?;
                self.at += word.len();
                Some(())
            }
        }
    }

    /// Any value; the arrays and objects that are open stand in a list, not on the stack.
    fn value(&mut self) -> Option<()> {
        let mut open = Vec::new();
        loop {
            self.space();
            if let Some(bracket) = self.eat(|byte| matches!(byte, b'[' | b'{')) {
                open.push(bracket);
                if self.token(bracket + 2).is_none() {
                    self.name(bracket)?;
                    continue;
                }
                open.pop();
            } else {
                self.scalar()?;
            }
            loop {
                let Some(&bracket) = open.last() else { return Some(()) };
                if self.token(b',').is_some() {
                    self.name(bracket)?;
                    break;
                }
                self.token(bracket + 2)?;
                open.pop();
            }
        }
    }

    /// In an object, what stands before a value.
    fn name(&mut self, bracket: u8) -> Option<()> {
        if bracket == b'{' {
            self.space();
            self.string()?;
            self.token(b':')?;
        }
        Some(())
    }
}
