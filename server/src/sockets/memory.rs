//! Gives back memory that maps no longer need.

use std::collections::HashMap;
use std::hash::Hash;

/// A map keeps room for this many entries, once it has had them.
const SMALL: usize = 1024;

/// Gives back memory that a map no longer needs: a crowd comes once, and the server stays. Moves entries only when
/// at least half of them have gone, because room for twice their number is kept.
pub(super) fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    map.shrink_to(SMALL.max(2 * map.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_most_have_left_gives_back_its_memory() {
        let mut map: HashMap<usize, usize> = (0..10 * SMALL).map(|key| (key, key)).collect();
        for key in 1..10 * SMALL {
            map.remove(&key);
            shrink(&mut map);
        }
        assert_eq!(map.get(&0), Some(&0));
        assert!(map.capacity() < 2 * SMALL, "there is room for {}", map.capacity());
    }
}
