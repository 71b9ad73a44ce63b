//! Certificates: what is told of them ends when another one is good, and by nothing else.
//! Not here: when one is due.

use super::{MINUTE, Story, becomes, note};
use crate::config::Occasion;
use crate::journal::{Kind, Note, STARTED, TOOK_OVER};
use supervisor_core::State;

#[test]
fn a_certificate_has_recovered_at_once_when_all_are_good_and_by_nothing_else() {
    let mut story = Story::of(&[Occasion::Certificate, Occasion::Failed, Occasion::Recovered]);
    story.happens(note(Kind::Certificate, "web").passed(true));
    assert_eq!(story.told(), [""; 0]);
    story.happens(note(Kind::Certificate, "web").passed(false));
    assert_eq!(story.told(), ["web certificate"]);
    // Neither another control, nor another run, nor one of several that is good.
    for cause in [TOOK_OVER, STARTED] {
        story.happens(Note::new(String::new(), Kind::Control, cause));
    }
    story.happens(becomes("web", State::Failed));
    story.happens(becomes("web", State::Running));
    story.happens(note(Kind::Certificate, "web"));
    story.passes(MINUTE);
    assert_eq!(story.told(), ["web failed", "web recovered"], "of its runs");
    story.passes(10 * MINUTE);
    story.happens(note(Kind::Certificate, "web").passed(false));
    story.happens(note(Kind::Certificate, "web").passed(true));
    story.passes(0);
    assert_eq!(story.told(), ["web certificate", "web recovered"]);
}
