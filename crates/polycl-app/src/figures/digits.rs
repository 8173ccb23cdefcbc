//! Numbers in pictures.

/// Digits of three pixels by five, each line of pixels as three bits.
const DIGITS: [[u8; 5]; 10] = [
    [7, 5, 5, 5, 7],
    [2, 6, 2, 2, 7],
    [7, 1, 7, 4, 7],
    [7, 1, 7, 1, 7],
    [5, 5, 7, 1, 1],
    [7, 4, 7, 1, 7],
    [7, 4, 7, 5, 7],
    [7, 1, 2, 2, 2],
    [7, 5, 7, 5, 7],
    [7, 5, 7, 1, 7],
];

/// Writes a number into the upper left corner, white on black so that it is read on any slice.
pub fn write_number(tile: &mut [[u8; 3]], [width, height]: [usize; 2], number: usize) {
    const DOT: usize = 3;
    const LEFT: usize = 4;
    let digits: Vec<usize> = number.to_string().bytes().map(|digit| usize::from(digit - b'0')).collect();
    let box_size = [(4 * digits.len() + 1) * DOT, 7 * DOT];
    for (x, y) in (0..box_size[0] * box_size[1]).map(|i| (i % box_size[0], i / box_size[0])) {
        // One dot of black around each digit.
        let (column, row) = ((x / DOT).wrapping_sub(1), (y / DOT).wrapping_sub(1));
        let lit = row < 5
            && column % 4 < 3
            && digits.get(column / 4).is_some_and(|&digit| DIGITS[digit][row] >> (2 - column % 4) & 1 == 1);
        let (x, y) = (x + LEFT, y + LEFT);
        if x < width && y < height {
            tile[x + width * y] = [if lit { 255 } else { 0 }; 3];
        }
    }
}
