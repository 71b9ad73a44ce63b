//! The control API, for tests in other languages and for people in the sandbox: what [`crate::Fake`] can do, as JSON.
//! Not here: anything that a client of Entra or Graph would ask for.

use hyper::header::{CONTENT_TYPE, ORIGIN};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::call::Call;
use crate::entra;
use crate::people::User;
use crate::reply::{Reply, escaped};
use crate::script::Script;
use crate::world::{App, TENANT, World};

/// The first part of every path. No tenant is called so.
pub(crate) const ROOM: &str = "_control";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redirect {
    uri: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    user_principal_name: String,
}

pub(crate) fn answer(world: &mut World, call: &Call, path: &[&str]) -> Reply {
    // A page of another origin, open in the same browser, must not steer the tenant.
    if call.header(ORIGIN).is_some() {
        return complaint(StatusCode::FORBIDDEN, "not for web pages");
    }
    match act(world, call, path) {
        Ok(body) => Reply::json(StatusCode::OK, &body),
        Err(reply) => reply,
    }
}

fn act(world: &mut World, call: &Call, path: &[&str]) -> Result<Value, Reply> {
    match (&call.method, path) {
        (&Method::GET, ["log"]) => return Ok(json!(world.journal.entries())),
        (&Method::GET, ["violations"]) => return Ok(json!(world.journal.violations())),
        (&Method::DELETE, ["violations"]) => return Ok(json!(world.journal.take_violations())),
        (&Method::GET, ["settings"]) => return Ok(json!(world.settings)),
        (&Method::PATCH, ["settings"]) => return change(world, call),
        (&Method::GET, ["users"]) => return Ok(json!(world.users)),
        (&Method::GET, ["scripts"]) => return Ok(json!(world.scripts)),
        (&Method::POST, ["users"]) => world.put_user(body::<User>(call)?),
        (&Method::POST, ["scripts"]) => script(world, call)?,
        (&Method::DELETE, ["scripts"]) => world.scripts.clear(),
        (&Method::POST, ["apps"]) => world.apps.push(body::<App>(call)?),
        (&Method::POST, ["redirects"]) => world.allow_redirect(&body::<Redirect>(call)?.uri),
        (&Method::POST, ["revoke"]) => world.revoke(&body::<Person>(call)?.user_principal_name),
        (&Method::POST, ["keys", "rotate"]) => world.keys.rotate(),
        (&Method::POST, ["keys", "forget"]) => world.keys.forget_old(),
        _ => {
            return Err(complaint(
                StatusCode::NOT_FOUND,
                "no such thing to ask for; docs/sandbox.md says what there is",
            ));
        }
    }
    Ok(json!({"done": true}))
}

fn complaint(status: StatusCode, why: &str) -> Reply {
    Reply::json(status, &json!({"error": why}))
}

fn body<T: DeserializeOwned>(call: &Call) -> Result<T, Reply> {
    if call.header(CONTENT_TYPE) != Some("application/json") {
        return Err(complaint(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send it as application/json"));
    }
    serde_json::from_slice(&call.body).map_err(|why| complaint(StatusCode::BAD_REQUEST, &why.to_string()))
}

/// Some settings; the others stay.
fn change(world: &mut World, call: &Call) -> Result<Value, Reply> {
    let Value::Object(changes) = body(call)? else {
        return Err(complaint(StatusCode::BAD_REQUEST, "an object of settings, please"));
    };
    let mut all = json!(world.settings);
    for (name, value) in changes {
        all[name] = value;
    }
    world.settings = serde_json::from_value(all).map_err(|why| complaint(StatusCode::BAD_REQUEST, &why.to_string()))?;
    Ok(json!(world.settings))
}

fn script(world: &mut World, call: &Call) -> Result<(), Reply> {
    let script: Script = body(call)?;
    if let Some(why) = script.complaint() {
        return Err(complaint(StatusCode::BAD_REQUEST, &why));
    }
    world.scripts.push(script);
    Ok(())
}

/// What a person sees who opens the address in a browser.
pub(crate) fn front(world: &World) -> String {
    let people: Vec<String> = world
        .users
        .iter()
        .map(|user| format!("<li>{} ({})</li>", escaped(&user.display_name), escaped(&user.user_principal_name)))
        .collect();
    let apps: Vec<String> = world
        .apps
        .iter()
        .map(|app| format!("<li>{}: {}</li>", escaped(&app.name), escaped(&app.redirect_uris.join(", "))))
        .collect();
    entra::page(
        "Sandbox tenant",
        &format!(
            "<h1>A tenant of Microsoft 365, for play</h1><p>Authority: {}</p><p>Graph: {}/v1.0</p><h2>People</h2>\
             <ul>{}</ul><h2>Applications</h2><ul>{}</ul><p><a href=\"/{ROOM}/log\">requests</a> · \
             <a href=\"/{ROOM}/violations\">broken rules</a> · <a href=\"/{TENANT}/logout\">sign out</a></p>",
            escaped(&world.issuer(TENANT)),
            escaped(&world.base),
            people.concat(),
            apps.concat(),
        ),
    )
}
