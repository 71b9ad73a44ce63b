//! Each document of a view, serialised at most once.
//! Not here: what is in it (`render`).

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

use super::answer::Document;
use super::document::{HealthDocument, ServicesDocument, ShortDocument, StatusDocument};
use super::render;
use crate::control::{Instruments, View};

/// The documents of one view, made when first asked for.
#[derive(Debug)]
pub(crate) struct Documents {
    pub(crate) view: Arc<View>,
    status: OnceLock<Document<StatusDocument>>,
    services: OnceLock<Document<ServicesDocument>>,
    health: OnceLock<Document<HealthDocument>>,
    short: OnceLock<Document<ShortDocument>>,
}

impl Documents {
    fn of(view: Arc<View>) -> Self {
        let (status, services, health, short) = Default::default();
        Self { view, status, services, health, short }
    }

    pub(crate) fn status(&self) -> Document<StatusDocument> {
        self.status.get_or_init(|| Document::of(&render::status(&self.view))).clone()
    }

    pub(crate) fn services(&self) -> Document<ServicesDocument> {
        self.services.get_or_init(|| Document::of(&render::services(&self.view))).clone()
    }

    pub(crate) fn health(&self) -> Document<HealthDocument> {
        self.health.get_or_init(|| Document::of(&render::health(&self.view))).clone()
    }

    pub(crate) fn short(&self) -> Document<ShortDocument> {
        self.short.get_or_init(|| Document::of(&render::short(&self.view))).clone()
    }
}

/// Further than this the wall clock must have moved against the monotonic one for points of time to be told anew.
const JUMP_MS: u64 = 100;

/// The documents of the latest view.
#[derive(Debug)]
pub(crate) struct Cache {
    view: Arc<ArcSwap<View>>,
    wall_offset_ms: fn() -> i64,
    documents: ArcSwap<Documents>,
    pub(crate) instruments: Instruments,
}

impl Cache {
    pub(crate) fn new(view: Arc<ArcSwap<View>>, wall_offset_ms: fn() -> i64, instruments: Instruments) -> Self {
        let documents = ArcSwap::from_pointee(Documents::of(view.load_full()));
        Self { view, wall_offset_ms, documents, instruments }
    }

    pub(crate) fn latest(&self) -> Arc<Documents> {
        let documents = self.documents.load_full();
        let view = self.view.load();
        let offset = (self.wall_offset_ms)();
        let jumped = |view: &View| view.wall_offset_ms.abs_diff(offset) > JUMP_MS;
        if documents.view.version == view.version && !jumped(&documents.view) {
            return documents;
        }
        let view = if jumped(&view) {
            Arc::new(View { wall_offset_ms: offset, ..View::clone(&view) })
        } else {
            Arc::clone(&view)
        };
        let fresh = Arc::new(Documents::of(view));
        self.documents.store(Arc::clone(&fresh));
        fresh
    }
}
