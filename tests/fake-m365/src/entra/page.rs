//! The pages that a person sees: choosing an account, and problems.
//! Not here: what a choice leads to.

use hyper::StatusCode;

use super::authorize::Request;
use crate::people::User;
use crate::reply::{Reply, escaped};
use crate::world::World;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f2f2f2;color:#1b1b1b}\
main{max-width:26rem;margin:8vh auto;padding:2rem;background:#fff;box-shadow:0 2px 6px #0003}\
h1{font-size:1.4rem;margin:0 0 1rem}button{display:block;width:100%;padding:.7rem;margin:.4rem 0;font:inherit;\
text-align:left;background:#fff;border:1px solid #888;cursor:pointer}button:hover,button:focus{background:#eef}\
small{color:#555}.note{margin-top:1.5rem;padding:.6rem;background:#fff4ce}p{overflow-wrap:anywhere}\
@media(max-width:30rem){main{margin:0;min-height:100vh;box-sizing:border-box}}";

pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><style>{STYLE}</style></head>\
         <body><main>{body}<p class=\"note\"><small>This is a sandbox on your own machine, not Microsoft. Nothing here \
         is real.</small></p></main></body></html>"
    )
}

/// Pick an account: those whose addresses fit the hints, or all.
pub(super) fn choose(world: &World, login: &str, request: &Request, people: &[&User]) -> Reply {
    let app = world.app(&request.client_id).map_or("An application", |app| &app.name);
    let scopes: Vec<String> = request.scopes.iter().map(|scope| format!("<li>{}</li>", escaped(scope))).collect();
    let buttons: Vec<String> = people
        .iter()
        .map(|user| {
            format!(
                "<button name=\"user\" value=\"{}\">{}<br><small>{}</small></button>",
                escaped(&user.id),
                escaped(&user.display_name),
                escaped(&user.user_principal_name),
            )
        })
        .collect();
    let body = format!(
        "<h1>Pick an account</h1><p>to continue to <b>{app}</b>, which asks for:</p><ul>{scopes}</ul>\
         <form method=\"post\" action=\"/{tenant}/login\"><input type=\"hidden\" name=\"login\" value=\"{login}\">\
         {buttons}<button name=\"user\" value=\"\">Cancel</button></form>",
        app = escaped(app),
        scopes = scopes.concat(),
        tenant = escaped(&request.tenant),
        buttons = buttons.concat(),
    );
    Reply::page(StatusCode::OK, page("Sign in to your account", &body))
}

pub(super) fn signed_out() -> Reply {
    let gone = format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax", super::authorize::COOKIE);
    Reply::page(StatusCode::OK, page("Signed out", "<h1>You signed out</h1>")).with(hyper::header::SET_COOKIE, gone)
}
