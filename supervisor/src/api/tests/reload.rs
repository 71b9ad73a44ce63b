//! What is told of a reload.
//! Not here: reloading.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Stand, name};
use crate::config::{Changed, Diagnostic, Diagnostics, Effect, Place};
use crate::control::{Deed, Mode, Plan, Planned, Refusal, ReloadAsk, Reloaded};

/// Each outcome in its turn; a dry run is only planned.
pub(super) async fn answer_in_turn(mut reloads: mpsc::Receiver<ReloadAsk>) {
    let mut turn = 0;
    while let Some(ReloadAsk { mode, answer }) = reloads.recv().await {
        let plan = Arc::new(plan());
        let place = Place { file: "/f".into(), line: 3, column: 7 };
        let diagnostics = Arc::new(Diagnostics { list: vec![Diagnostic::at(&place, "this cannot be")], more: 1 });
        let result = match (mode, turn % 4) {
            (Mode::DryRun, _) => Ok(Reloaded::Planned { plan }),
            (Mode::Apply, 0) => Ok(Reloaded::Applied { revision: 5, took: Duration::from_millis(12), plan }),
            (Mode::Apply, 1) => Ok(Reloaded::Unchanged { revision: 5 }),
            (Mode::Apply, 2) => Ok(Reloaded::Rejected { diagnostics }),
            (Mode::Apply, _) => Err(Refusal::Busy),
        };
        if mode == Mode::Apply {
            turn += 1;
        }
        let _ = answer.send(result);
    }
    std::future::pending::<()>().await;
}

fn plan() -> Plan {
    let keys = vec![Changed { key: "env.A".to_owned(), effect: Effect::Restart }];
    Plan { services: vec![Planned { name: name("alpha"), deed: Deed::Restart, keys }], kept: 1, supervisor: Vec::new() }
}

fn told(stand: &Stand, query: &str) -> (u16, Value) {
    let answer = stand.ask("POST", &format!("/api/v1/reload{query}"), "");
    let mut json = answer.json();
    json.as_object_mut().unwrap().remove("schema_version");
    (answer.status, json)
}

#[test]
fn each_outcome_is_told_in_its_own_way() {
    let stand = Stand::new();
    let planned = json!([{ "name": "alpha", "deed": "restart", "keys": [{ "key": "env.A", "effect": "restart" }] }]);
    let document = |result: &str, revision: Value, took: u64, services: Value, kept: u64| {
        json!({
            "result": result, "revision": revision, "took_ms": took, "services": services, "kept": kept,
            "supervisor": [],
        })
    };
    let dry = document("planned", Value::Null, 0, planned.clone(), 1);
    assert_eq!(told(&stand, "?dry_run=true"), (200, dry));
    assert_eq!(told(&stand, ""), (200, document("applied", json!(5), 12, planned, 1)));
    assert_eq!(told(&stand, ""), (200, document("unchanged", json!(5), 0, json!([]), 0)));
    let (status, problem) = told(&stand, "");
    assert_eq!((status, &problem["errors"][0]["line"]), (422, &json!(3)));
    let detail = "the configuration is rejected, nothing has changed: /f:3:7: this cannot be (and 1 more)";
    assert_eq!(problem["detail"], detail);
    assert_eq!(told(&stand, "").0, 503);
    assert_eq!(told(&stand, "?dry_run=perhaps").0, 400);
}
