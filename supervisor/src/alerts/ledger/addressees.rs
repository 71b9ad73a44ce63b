//! Whom the ledger knows: alerts that are gone are forgotten, and one that got another address is the same.
//! Not here: what they are told.

use super::{Ledger, ToKeep};
use crate::alerts::scene::Scene;

impl Ledger {
    /// Services and alerts that are gone.
    pub(super) fn forget(&mut self, scene: &Scene<'_>) -> ToKeep {
        let followed = self.follow_edits(scene);
        let before = (self.troubles.len(), self.letters.len(), self.accounts.len());
        let is_known = |key: &str| scene.alerts.iter().any(|alert| alert.key == key);
        self.troubles.retain(|trouble| scene.service(&trouble.service).is_some());
        self.letters.retain(|letter| is_known(&letter.alert));
        self.accounts.retain(|key, _| is_known(key));
        let after = (self.troubles.len(), self.letters.len(), self.accounts.len());
        if before == after { followed } else { ToKeep::Something }
    }

    /// Alerts without names: where of one way just one is gone and just one is new, its address was mended, and it gets
    /// what waits.
    fn follow_edits(&mut self, scene: &Scene<'_>) -> ToKeep {
        let way = |key: &str| key.split_once('#').map(|(way, _)| way.to_owned());
        let keys = || scene.alerts.iter().map(|alert| alert.key.as_str());
        let gone: Vec<String> = self.accounts.keys().filter(|key| !keys().any(|one| one == *key)).cloned().collect();
        let new: Vec<&str> = keys().filter(|key| !self.accounts.contains_key(*key)).collect();
        let mut to_keep = ToKeep::Nothing;
        for old in &gone {
            let Some(of) = way(old) else { continue };
            let others = gone.iter().filter(|key| way(key).as_ref() == Some(&of)).count();
            let mut same = new.iter().filter(|key| way(key).as_ref() == Some(&of));
            if let (1, Some(key), None) = (others, same.next(), same.next()) {
                self.hand_over(old, key);
                to_keep = ToKeep::Something;
            }
        }
        to_keep
    }

    fn hand_over(&mut self, old: &str, new: &str) {
        if let Some(account) = self.accounts.remove(old) {
            self.accounts.insert(new.to_owned(), account);
        }
        for letter in self.letters.iter_mut().filter(|letter| letter.alert == old) {
            new.clone_into(&mut letter.alert);
        }
        for trouble in &mut self.troubles {
            if trouble.told.remove(old) {
                trouble.told.insert(new.to_owned());
            }
        }
    }
}
