//! Settings in layers.

use toml::{Table, Value};

/// Settings of which only one may be given: that of a higher layer displaces the other.
const EXCLUSIVE: [[&str; 2]; 2] = [["cases", "fraction"], ["fraction", "cases"]];

/// Puts the values of one table over those of another, tables within them likewise.
pub fn overlay(below: &mut Table, above: Table) {
    for [given, displaced] in EXCLUSIVE {
        if above.contains_key(given) && !above.contains_key(displaced) {
            below.remove(displaced);
        }
    }
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => drop(below.insert(key, value)),
        }
    }
}
