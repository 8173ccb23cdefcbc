//! Python's pickles, read as data. A pickle is a program for a stack machine that may name any
//! function of Python and have it called; here nothing is ever called: a call is an object that
//! says what would have been called with what, and [`super::torch`] knows the few that mean tensors.
//!
//! Objects lie in one list and refer to each other by place, as Python's own do: what is fetched from
//! the memo costs as much as a number, however large it is, and nothing here walks objects in depth.
//! The operations: Python's `Lib/pickletools.py`, protocols 2 to 5.

/// Something on the stack: a small value, or the place of an [`Object`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Int(i64),
    Text(&'a str),
    Object(u32),
    /// A value that no tensor is made of, by what it is.
    Other(&'static str),
}

#[derive(Debug)]
pub(super) enum Object<'a> {
    Tuple(Vec<Value<'a>>),
    /// Lists and sets.
    List(Vec<Value<'a>>),
    Dict(Vec<Pair<'a>>),
    /// The name of a function or class.
    Global {
        module: &'a str,
        name: &'a str,
    },
    /// A call that was not made, and the items that were put into what it would have returned.
    Call {
        callable: Value<'a>,
        arguments: Value<'a>,
        items: Vec<Pair<'a>>,
    },
    /// A storage outside of the pickle, by its identity.
    Outside(Value<'a>),
}

pub(super) type Pair<'a> = (Value<'a>, Value<'a>);

/// Why a pickle was not read.
#[derive(Debug)]
pub(super) enum Fault {
    /// It ends in the middle of an operation.
    Ends,
    Found(String),
}

type Outcome<T> = Result<T, Fault>;

/// A pickle that was read.
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    pub root: Value<'a>,
}

impl<'a> Pickle<'a> {
    /// `None` for what is no object.
    pub fn object(&self, value: Value<'a>) -> Option<&Object<'a>> {
        match value {
            Value::Object(at) => self.objects.get(at as usize),
            _ => None,
        }
    }

    /// The kind of a value, for a message.
    pub fn describe(&self, value: Value<'a>) -> String {
        match (value, self.object(value)) {
            (Value::Int(_), _) => "a number".into(),
            (Value::Text(_), _) => "a text".into(),
            (Value::Other(what), _) => what.into(),
            (_, Some(Object::Tuple(_))) => "a tuple".into(),
            (_, Some(Object::List(_))) => "a list".into(),
            (_, Some(Object::Dict(_))) => "a dict".into(),
            (_, Some(Object::Global { module, name })) => brief(&format!("{module}.{name}")),
            (_, Some(Object::Call { callable, .. })) => match self.object(*callable) {
                Some(Object::Global { module, name }) => {
                    brief(&format!("an object of {module}.{name}, which is not called,"))
                }
                _ => "an object of unknown make".into(),
            },
            (_, Some(Object::Outside(_)) | None) => "a storage".into(),
        }
    }
}

/// Text out of a file at a length for a line.
pub(super) fn brief(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into(),
    }
}

/// Most values that a pickle may hold, 24 bytes each: about 100 MB at the worst, where a state
/// dict of 1000 tensors takes 1 MB. Python's pickles grow one operation, one byte, at a time.
const MOST: usize = 1 << 20;

/// Reads a pickle up to its end.
pub(super) fn parse(bytes: &[u8]) -> Outcome<Pickle<'_>> {
    let mut machine = Machine { rest: bytes, ..Machine::default() };
    while machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickle { objects: machine.objects, root })
}

#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    /// A map, since a place in the memo is any number that the file likes.
    memo: std::collections::BTreeMap<u32, Value<'a>>,
    objects: Vec<Object<'a>>,
    spent: usize,
}

impl<'a> Machine<'a> {
    /// Carries out one operation; false at the last.
    fn step(&mut self) -> Outcome<bool> {
        let operation = self.byte()?;
        match operation {
            b'.' => return Ok(false),
            0x80 => drop(self.take(1)?), // PROTO
            0x95 => drop(self.take(8)?), // FRAME
            b'(' => {
                self.spend(1)?;
                self.marks.push(self.stack.len());
            }
            b'0' => drop(self.pop()?),
            b'1' => drop(self.above_mark()?),
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            b'q' | b'r' | 0x94 => self.remember(operation)?,
            b'h' | b'j' => self.recall(operation)?,
            b'R' | 0x81 => self.call()?, // REDUCE, NEWOBJ
            0x92 => {
                // NEWOBJ_EX: the arguments by name go the way of all arguments of the unknown.
                self.pop()?;
                self.call()?;
            }
            b'b' => drop(self.pop()?), // BUILD: attributes, which no tensor has
            b'Q' => {
                let identity = self.pop()?;
                self.make(Object::Outside(identity), 0)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.make(Object::Global { module, name }, 0)?;
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.make(Object::Global { module, name }, 0)?,
                _ => return Err(Fault::Found("a name that is no text".into())),
            },
            _ if self.scalar(operation)? || self.container(operation)? => {}
            _ => return Err(Fault::Found(format!("the operation {operation:#04x}"))),
        }
        Ok(true)
    }

    /// Operations that push a small value; false for others.
    fn scalar(&mut self, operation: u8) -> Outcome<bool> {
        let value = match operation {
            b'N' => Value::Other("None"),
            0x88 | 0x89 => Value::Other("a truth value"),
            b'J' => Value::Int(i64::from(self.number(4)? as u32 as i32)),
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'G' => {
                self.take(8)?;
                Value::Other("a number with a fraction")
            }
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'X' => self.text(4)?,
            0x8c => self.text(1)?,
            0x8d => self.text(8)?,
            b'U' | b'C' => self.blob(1)?,
            b'T' | b'B' => self.blob(4)?,
            0x8e | 0x96 => self.blob(8)?,
            _ => return Ok(false),
        };
        self.push(value)?;
        Ok(true)
    }

    /// Operations that make or fill tuples, lists, sets and dicts; false for others.
    fn container(&mut self, operation: u8) -> Outcome<bool> {
        match operation {
            b')' => self.tuple(0)?,
            0x85..=0x87 => self.tuple(usize::from(operation - 0x84))?,
            b't' => {
                let items = self.above_mark()?;
                self.make(Object::Tuple(items), 0)?;
            }
            b']' | 0x8f => self.make(Object::List(Vec::new()), 0)?,
            b'l' | 0x91 => {
                let items = self.above_mark()?;
                self.make(Object::List(items), 0)?;
            }
            b'}' => self.make(Object::Dict(Vec::new()), 0)?,
            b'd' => {
                let items = pairs(&self.above_mark()?)?;
                self.make(Object::Dict(items), 0)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.above_mark()?;
                self.extend(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let items = pairs(&self.above_mark()?)?;
                self.set(items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn tuple(&mut self, len: usize) -> Outcome<()> {
        let at = self.stack.len().checked_sub(len).filter(|at| *at >= self.floor());
        let items = self.stack.split_off(at.ok_or_else(empty)?);
        self.make(Object::Tuple(items), 0)
    }

    fn call(&mut self) -> Outcome<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        self.make(Object::Call { callable, arguments, items: Vec::new() }, 2)
    }

    /// Into a list; what is put into an object of unknown make is of no use.
    fn extend(&mut self, new: Vec<Value<'a>>) -> Outcome<()> {
        self.spend(new.len())?;
        match self.top_object()? {
            Object::List(items) => items.extend(new),
            Object::Call { .. } => {}
            _ => return Err(Fault::Found("items for a value that is no list".into())),
        }
        Ok(())
    }

    fn set(&mut self, new: Vec<Pair<'a>>) -> Outcome<()> {
        self.spend(2 * new.len())?;
        match self.top_object()? {
            Object::Dict(items) | Object::Call { items, .. } => items.extend(new),
            _ => return Err(Fault::Found("items for a value that is no dict".into())),
        }
        Ok(())
    }

    fn remember(&mut self, operation: u8) -> Outcome<()> {
        let place = match operation {
            b'q' => self.number(1)? as u32,
            b'r' => self.number(4)? as u32,
            _ => self.memo.len() as u32,
        };
        self.spend(2)?;
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, operation: u8) -> Outcome<()> {
        let place = self.number(if operation == b'h' { 1 } else { 4 })? as u32;
        let value = self.memo.get(&place).copied();
        self.push(value.ok_or_else(|| Fault::Found(format!("place {place} of the memo empty")))?)
    }

    fn make(&mut self, object: Object<'a>, extra: usize) -> Outcome<()> {
        self.spend(3 + extra)?;
        let place = self.objects.len() as u32; // `spend` keeps it small.
        self.objects.push(object);
        self.push(Value::Object(place))
    }

    fn push(&mut self, value: Value<'a>) -> Outcome<()> {
        self.spend(1)?;
        self.stack.push(value);
        Ok(())
    }

    fn spend(&mut self, values: usize) -> Outcome<()> {
        self.spent += values;
        if self.spent > MOST {
            return Err(Fault::Found(format!("more than {MOST} values")));
        }
        Ok(())
    }

    /// Lowest place to which the stack may be emptied.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Outcome<Value<'a>> {
        self.stack.get(self.floor()..).and_then(<[_]>::last).copied().ok_or_else(empty)
    }

    fn pop(&mut self) -> Outcome<Value<'a>> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn top_object(&mut self) -> Outcome<&mut Object<'a>> {
        match self.top()? {
            Value::Object(place) => Ok(&mut self.objects[place as usize]),
            _ => Err(Fault::Found("items for a value that holds no items".into())),
        }
    }

    fn above_mark(&mut self) -> Outcome<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or_else(empty)?;
        Ok(self.stack.split_off(mark))
    }

    fn byte(&mut self) -> Outcome<u8> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, len: usize) -> Outcome<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Fault::Ends)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A little-endian number of up to eight bytes.
    fn number(&mut self, bytes: usize) -> Outcome<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Bytes after their number, which is `width` bytes wide.
    fn counted(&mut self, width: usize) -> Outcome<&'a [u8]> {
        let len = self.number(width)?;
        self.take(usize::try_from(len).map_err(|_| Fault::Ends)?)
    }

    fn blob(&mut self, width: usize) -> Outcome<Value<'a>> {
        self.counted(width).map(|_| Value::Other("bytes"))
    }

    fn text(&mut self, width: usize) -> Outcome<Value<'a>> {
        // Python lets half characters into texts; names of tensors have none.
        Ok(std::str::from_utf8(self.counted(width)?).map_or(Value::Other("a broken text"), Value::Text))
    }

    /// A whole number of any size, in two's complement.
    fn long(&mut self, width: usize) -> Outcome<Value<'a>> {
        let bytes = self.counted(width)?;
        if bytes.len() > 8 {
            return Ok(Value::Other("a huge number"));
        }
        let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut all = [fill; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(all)))
    }

    fn line(&mut self) -> Outcome<&'a str> {
        let len = self.rest.iter().position(|byte| *byte == b'\n').ok_or(Fault::Ends)?;
        let line = &self.take(len + 1)?[..len];
        std::str::from_utf8(line).map_err(|_| Fault::Found("a name that is no text".into()))
    }
}

fn empty() -> Fault {
    Fault::Found("a stack without what is taken from it".into())
}

fn pairs<'a>(flat: &[Value<'a>]) -> Outcome<Vec<Pair<'a>>> {
    let (pairs, rest) = flat.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fault::Found("a key without its value".into()));
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}
