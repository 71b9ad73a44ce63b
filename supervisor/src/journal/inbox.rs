//! Notes on their way to the writer, which is woken for many at once: of a thousand ends in a moment each would wake it else.
//! Not here: what becomes of them (`writer`).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Note;

/// Notes that wait for the writer; further ones are dropped and counted.
pub(super) const MOST: usize = 1024;
/// So many are enough to wake it, whatever else comes.
const HANDFUL: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    handed_over: Condvar,
}

/// What the writer takes at once.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) notes: Vec<Note>,
    /// Told once the notes are shown, or given up.
    pub(super) shown: Vec<oneshot::Sender<()>>,
    /// Told once they are on the disk, too.
    pub(super) written: Vec<oneshot::Sender<()>>,
    /// Notes for which there was no room.
    pub(super) dropped: u64,
    ready: bool,
    closed: bool,
}

impl Inbox {
    /// It is taken with the next `hand_over`, or sooner.
    pub(super) fn put(&self, note: Note) {
        let mut waiting = self.waiting();
        if waiting.notes.len() >= MOST {
            waiting.dropped += 1;
            return;
        }
        waiting.notes.push(note);
        if waiting.notes.len().is_multiple_of(HANDFUL) {
            self.wake(waiting);
        }
    }

    /// What was put so far is taken now.
    pub(super) fn hand_over(&self) {
        let waiting = self.waiting();
        if !waiting.notes.is_empty() {
            self.wake(waiting);
        }
    }

    /// Ready once what was put so far is shown, or given up.
    pub(super) async fn shown(&self) {
        self.told(|waiting| &mut waiting.shown).await;
    }

    /// Ready once what was put so far is on the disk, or given up.
    pub(super) async fn written(&self) {
        self.told(|waiting| &mut waiting.written).await;
    }

    fn told(&self, when: impl FnOnce(&mut Waiting) -> &mut Vec<oneshot::Sender<()>>) -> impl Future<Output = ()> {
        let (told, tell) = oneshot::channel();
        let mut waiting = self.waiting();
        when(&mut waiting).push(told);
        self.wake(waiting);
        async move {
            let _ = tell.await;
        }
    }

    /// Nothing will be put any more.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        self.wake(waiting);
    }

    /// Waits for what is handed over next; `None` once it is closed and everything was taken.
    pub(super) fn take(&self) -> Option<Waiting> {
        let waiting = self.handed_over.wait_while(self.waiting(), |waiting| !waiting.ready);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let closed = waiting.closed;
        let nothing = waiting.notes.is_empty() && waiting.shown.is_empty() && waiting.written.is_empty();
        let taken = std::mem::replace(&mut *waiting, Waiting { ready: closed, closed, ..Waiting::default() });
        (!(closed && nothing)).then_some(taken)
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let slept = !std::mem::replace(&mut waiting.ready, true);
        drop(waiting);
        if slept {
            self.handed_over.notify_one();
        }
    }

    /// Nothing panics while it holds this.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Kind;

    fn note() -> Note {
        Note::new("2026-11-23T00:21:01.000Z".to_owned(), Kind::Control, "a cause")
    }

    #[test]
    fn what_finds_no_room_is_counted_and_what_came_before_is_taken_after_the_end() {
        let inbox = Inbox::default();
        (0..MOST + 3).for_each(|_| inbox.put(note()));
        let taken = inbox.take().unwrap();
        assert_eq!((taken.notes.len(), taken.dropped), (MOST, 3));
        inbox.put(note());
        inbox.close();
        assert_eq!(inbox.take().unwrap().notes.len(), 1);
        assert!(inbox.take().is_none());
    }

    #[test]
    fn a_handful_is_taken_without_being_handed_over() {
        let inbox = Inbox::default();
        (0..HANDFUL).for_each(|_| inbox.put(note()));
        assert_eq!(inbox.take().unwrap().notes.len(), HANDFUL);
    }
}
