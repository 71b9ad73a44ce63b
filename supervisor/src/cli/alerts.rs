//! `alerts`: whom they go to and how that goes; `alerts test`: whether they arrive.
//! Not here: sending them.

use super::args::{AlertDeed, Alerts, Global};
use super::clock::local;
use super::failure::{Exit, Failure};
use super::locate;
use super::output::clean;
use super::terminal::Screen;
use crate::alerts::TEST_LIMIT;
use crate::api::{AlertDocument, AlertTestRequest};

pub(crate) fn alerts(global: &Global, screen: Screen, alerts: &Alerts) -> Result<Exit, Failure> {
    match &alerts.deed {
        None => show(global, screen),
        Some(AlertDeed::Test { alerts }) => test(global, screen, alerts),
    }
}

fn show(global: &Global, screen: Screen) -> Result<Exit, Failure> {
    let place = locate::place(global)?;
    let document = place.client.status()?;
    if screen.json {
        return json(screen, &document.alerts);
    }
    if document.alerts.is_empty() {
        screen.tell("no `[[alerts]]` are configured\n");
    }
    for alert in &document.alerts {
        screen.show(&line(alert));
    }
    let well = document.alerts.iter().all(|alert| alert.error.is_none());
    Ok(if well { Exit::Done } else { Exit::Failed })
}

/// `ops (slack): 3 sent, 1 on its way, 0 lost; the last at …; error: …`
fn line(alert: &AlertDocument) -> String {
    let AlertDocument { name, way, queued, sent, lost, sent_at, error } = alert;
    let last = sent_at.as_deref().map(|at| format!("; the last at {}", clean(&local(at)))).unwrap_or_default();
    let error = error.as_deref().map(|why| format!("; error: {}", clean(why))).unwrap_or_default();
    format!("{} ({}): {sent} sent, {queued} on the way, {lost} lost{last}{error}\n", clean(name), clean(way))
}

fn test(global: &Global, screen: Screen, alerts: &[String]) -> Result<Exit, Failure> {
    let place = locate::place(global)?;
    let document = place.client.patient(TEST_LIMIT).test_alerts(&AlertTestRequest { alerts: alerts.to_vec() })?;
    let arrived = document.alerts.iter().all(|alert| alert.arrived);
    let exit = if arrived { Exit::Done } else { Exit::Failed };
    if screen.json {
        return json(screen, &document).map(|_| exit);
    }
    for alert in &document.alerts {
        let outcome =
            alert.error.as_deref().map_or_else(|| "arrived".to_owned(), |why| format!("failed: {}", clean(why)));
        screen.show(&format!("{}: {outcome}\n", clean(&alert.name)));
    }
    Ok(exit)
}

fn json(screen: Screen, data: &impl serde::Serialize) -> Result<Exit, Failure> {
    let text = serde_json::to_string_pretty(data).map_err(|error| Failure::of_system("write JSON", &error))?;
    screen.data(&format!("{text}\n"));
    Ok(Exit::Done)
}
