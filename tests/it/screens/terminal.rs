//! A terminal, as far as the program uses it.

/// What is left on the screen after all output.
pub(super) fn shown(output: &str) -> Vec<String> {
    let mut rows: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut chars = output.chars();
    while let Some(char) = chars.next() {
        match char {
            '\r' => column = 0,
            '\n' => row += 1,
            '\x1b' => {
                let order = order(&mut chars);
                let count =
                    order.trim_end_matches(|char: char| char.is_ascii_alphabetic()).parse().unwrap_or(1);
                match order.chars().last() {
                    Some('A') => row = row.saturating_sub(count),
                    Some('K') if count == 2 => rows[row].clear(),
                    Some('K') => rows[row].truncate(column),
                    _ => {}
                }
            }
            char => {
                let line = &mut rows[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = char;
                column += 1;
            }
        }
        rows.resize_with(rows.len().max(row + 1), Vec::new);
    }
    let mut rows: Vec<String> =
        rows.into_iter().map(|row| row.into_iter().collect::<String>().trim_end().to_owned()).collect();
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    rows
}

/// An order without its `[`: it ends with its first letter.
fn order(chars: &mut impl Iterator<Item = char>) -> String {
    let mut order = String::new();
    for char in chars.skip(1) {
        order.push(char);
        if char.is_ascii_alphabetic() {
            break;
        }
    }
    order
}

#[test]
fn a_line_that_is_redrawn_and_removed_leaves_nothing() {
    let output =
        "one\r\n\r\x1b[2K| PENDING\r\x1b[2K/ PENDING\r\x1b[2Ktwo\r\n\x1b[1mthree\x1b[0m\r\n\x1b[1A\x1b[2Kx";
    assert_eq!(shown(output), ["one", "two", "x"]);
}
