//! Control's side of the keeper: the channel, what it keeps for us, what follows from its words.
//! Not here: the keeper itself (`supervisor-keeper`).

pub(crate) mod inventory;
pub(crate) mod link;
pub(crate) mod words;
