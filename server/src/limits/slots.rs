//! Limits how many of something can be held at once.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// A number of slots for each key.
pub(crate) struct Slots<K: Hash + Eq + Copy = ()> {
    limit: u32,
    taken: Mutex<HashMap<K, u32>>,
}

/// One of the slots. Dropping it gives it back.
pub(crate) struct Slot<K: Hash + Eq + Copy = ()> {
    slots: Arc<Slots<K>>,
    key: K,
}

impl<K: Hash + Eq + Copy> Slots<K> {
    pub(crate) fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { limit, taken: Mutex::default() })
    }

    /// A slot, if one is left for that key.
    pub(crate) fn take(self: &Arc<Self>, key: K) -> Option<Slot<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(key).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Slot { slots: Arc::clone(self), key })
    }

    /// How many are taken for that key.
    pub(crate) fn taken(&self, key: K) -> u32 {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.get(&key).copied().unwrap_or_default()
    }
}

impl<K: Hash + Eq + Copy> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.key) {
            *count -= 1;
            // Addresses come and go: only those with something in hand are remembered.
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

impl<K: Hash + Eq + Copy> fmt::Debug for Slot<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

#[cfg(test)]
impl Slot {
    /// For tests of what holds one.
    pub(crate) fn unlimited() -> Self {
        Slots::new(1).take(()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_slots_and_gets_them_back() {
        let slots = Slots::new(2);
        let held = [slots.take("a"), slots.take("a")];
        assert!(held.iter().all(Option::is_some));
        assert!(slots.take("a").is_none());
        assert!(slots.take("b").is_some());
        drop(held);
        assert!(slots.take("a").is_some());
        assert!(slots.taken.lock().unwrap().is_empty(), "what is given back is forgotten");
    }
}
