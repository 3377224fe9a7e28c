//! Deltas: changes of Z-sets.

use ahash::RandomState;
use hashbrown::{HashMap, HashTable};

use crate::row::Row;

/// A map of this crate: keys come from clients, so its hash has a random seed.
pub(crate) type Map<K, V> = HashMap<K, V, RandomState>;

/// Rows and by how much their weights change. Each row once, and never by 0, once consolidated.
pub(crate) type Delta = Vec<(Row, i64)>;

/// Below this many, comparing each with each is cheaper than a table of hashes.
const FEW: usize = 8;

/// Adds up the weights of equal rows and drops those that come to 0.
pub(crate) fn consolidate(delta: &mut Delta) {
    if delta.len() < 2 {
        delta.retain(|(_, weight)| *weight != 0);
        return;
    }
    if delta.len() <= FEW {
        for i in 1..delta.len() {
            let (before, rest) = delta.split_at_mut(i);
            let (row, weight) = &mut rest[0];
            if let Some((_, sum)) = before.iter_mut().find(|(earlier, _)| earlier == row) {
                *sum += std::mem::take(weight);
            }
        }
    } else {
        let hasher = RandomState::new();
        let mut places: HashTable<usize> = HashTable::with_capacity(delta.len());
        for i in 0..delta.len() {
            let hash = hasher.hash_one(&delta[i].0);
            match places.find(hash, |place| delta[*place].0 == delta[i].0).copied() {
                Some(place) => delta[place].1 += std::mem::take(&mut delta[i].1),
                None => {
                    places.insert_unique(hash, i, |place| hasher.hash_one(&delta[*place].0));
                }
            }
        }
    }
    delta.retain(|(_, weight)| *weight != 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use shape_expr::Owned;

    #[test]
    fn weights_of_equal_rows_add_up() {
        for count in [3_i64, 40] {
            let row = |i: i64| Row::from(vec![Owned::from(i)]);
            let mut delta: Delta =
                (0..count).flat_map(|i| [(row(i), 1), (row(i), -1), (row(-1), 2)]).collect();
            consolidate(&mut delta);
            assert_eq!(delta, vec![(row(-1), 2 * count)]);
        }
    }
}
