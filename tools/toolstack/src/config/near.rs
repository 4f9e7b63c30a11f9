//! The nearest name, for whoever mistyped one.

/// The one of `names` that is nearest to `wrong`, if it is near.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = 1 + wrong.chars().count() / 4;
    names
        .into_iter()
        .map(|name| (distance(wrong, name), name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Edits between two words: insert, remove, replace, swap neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    let cell = |rows: &[Vec<usize>], i: usize, j: usize| rows.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0);
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let replace = cell(&rows, i, j) + usize::from(ca != cb);
            let insert = row.last().copied().unwrap_or(0) + 1;
            let remove = cell(&rows, i, j + 1) + 1;
            let mut best = replace.min(insert).min(remove);
            if i > 0 && j > 0 && a.get(i - 1) == Some(cb) && Some(ca) == b.get(j - 1) {
                best = best.min(cell(&rows, i - 1, j - 1) + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    cell(&rows, a.len(), b.len())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_mistyped_name_finds_the_one_that_was_meant() {
        let names = ["memory", "maxmem", "kernel", "ramdisk"];
        assert_eq!(nearest("memmory", names), Some("memory"));
        assert_eq!(nearest("kenrel", names), Some("kernel"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("cup", ["cpu"]), Some("cpu"), "two letters that are swapped are one mistake");
    }
}
