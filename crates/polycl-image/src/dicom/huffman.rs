//! Huffman codes as JPEG spells them (T.81 annexes C and F), and the bits they are read from.

/// Codes of up to this many bits are looked up at once; few are longer.
const QUICK: u32 = 11;

/// A table of codes.
pub(super) struct Table {
    /// By the next bits: length of the code (0 where it is longer) and its symbol.
    quick: Box<[(u8, u8); 1 << QUICK]>,
    /// For each length: one past its largest code, left-aligned to 16 bits, and what to add to the code to
    /// find its symbol.
    longer: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Table {
    /// `counts[n]` codes have n + 1 bits; `None` where there are more than can be told apart.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut quick = Box::new([(0, 0); 1 << QUICK]);
        let mut longer = [(0, 0); 17];
        let (mut code, mut index) = (0u32, 0usize);
        for (length, &count) in (1u32..).zip(counts) {
            let first = code;
            for &symbol in symbols.get(index..index + usize::from(count))? {
                if code >> length != 0 {
                    return None;
                }
                if length <= QUICK {
                    let begin = (code << (QUICK - length)) as usize;
                    quick[begin..begin + (1 << (QUICK - length))].fill((length as u8, symbol));
                }
                code += 1;
            }
            longer[length as usize] = (code << (16 - length), index as i32 - first as i32);
            index += usize::from(count);
            code <<= 1;
        }
        Some(Self { quick, longer, symbols: symbols.to_vec() })
    }

    /// Length and symbol of the code that begins `next` (16 bits), which is longer than `QUICK`.
    #[cold]
    fn slow(&self, next: u32) -> Option<(u8, u8)> {
        let length = (QUICK + 1..=16).find(|&length| next < self.longer[length as usize].0)?;
        let index = (next >> (16 - length)) as i32 + self.longer[length as usize].1;
        Some((length as u8, *self.symbols.get(usize::try_from(index).ok()?)?))
    }
}

/// The bits of entropy-coded data, highest first. Past its end there are zeros, which [`Bits::overrun`] tells of.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits are the highest of these.
    held: u64,
    count: u32,
    /// How many of the held bits are made up.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, held: 0, count: 0, made_up: 0 }
    }

    /// The next symbol, if its code is in the table.
    #[inline]
    pub fn symbol(&mut self, table: &Table) -> Option<u8> {
        self.fill();
        let (length, symbol) = match table.quick[(self.held >> (64 - QUICK)) as usize] {
            (0, _) => table.slow((self.held >> 48) as u32)?,
            found => found,
        };
        self.skip(length.into());
        Some(symbol)
    }

    /// The next `n` bits, 1 to 16, of those that [`Bits::symbol`] has left.
    #[inline]
    pub fn take(&mut self, n: u32) -> u32 {
        let bits = (self.held >> (64 - n)) as u32;
        self.skip(n);
        bits
    }

    #[inline]
    fn skip(&mut self, n: u32) {
        self.held <<= n;
        self.count -= n;
    }

    /// Whether bits were taken that are not there.
    pub fn overrun(&self) -> bool {
        self.count < self.made_up
    }

    /// Goes on behind the next restart marker; whether there is one.
    pub fn restart(&mut self) -> bool {
        let rest = &self.data[self.at..];
        (self.held, self.count, self.made_up) = (0, 0, 0);
        match rest {
            [0xFF, 0xD0..=0xD7, ..] => {
                self.at += 2;
                true
            }
            _ => false,
        }
    }

    /// Holds at least 32 bits: a code and what follows it.
    #[inline]
    fn fill(&mut self) {
        while self.count < 32 {
            let byte = match self.data.get(self.at) {
                Some(0xFF) => match self.data.get(self.at + 1) {
                    Some(0) => {
                        self.at += 2;
                        0xFF
                    }
                    _ => self.make_up(),
                },
                Some(&byte) => {
                    self.at += 1;
                    byte
                }
                None => self.make_up(),
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// A marker or the end: no more bits here.
    #[cold]
    fn make_up(&mut self) -> u8 {
        self.made_up += 8;
        0
    }
}
