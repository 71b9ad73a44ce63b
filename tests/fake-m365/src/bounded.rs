//! A map that forgets its oldest entries: whatever a client can make more of has a limit.
//! Not here: time; whether an entry is still good is for its owner to say.

use std::collections::{HashMap, VecDeque};

/// Far more than a test or an afternoon in the sandbox makes.
const MOST: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Bounded<V> {
    order: VecDeque<String>,
    values: HashMap<String, V>,
}

impl<V> Default for Bounded<V> {
    fn default() -> Self {
        Self { order: VecDeque::new(), values: HashMap::new() }
    }
}

impl<V> Bounded<V> {
    pub(crate) fn insert(&mut self, key: String, value: V) {
        self.order.push_back(key.clone());
        self.values.insert(key, value);
        while self.order.len() > MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.values.remove(&oldest);
            }
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        self.values.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.values.get_mut(key)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.values.values_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let mut map = Bounded::default();
        (0..=MOST).for_each(|number| map.insert(number.to_string(), number));
        assert_eq!((map.get("0"), map.get("1"), map.get(&MOST.to_string())), (None, Some(&1), Some(&MOST)));
    }
}
