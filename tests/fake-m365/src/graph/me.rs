//! `GET /me`: the person behind the token.
//! Not here: other people (`users`).

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::bearer::Bearer;
use super::query;
use super::refused::Refusal;
use crate::call::Call;
use crate::people::User;
use crate::reply::Reply;
use crate::world::World;

pub(super) fn answer(world: &mut World, call: &Call, who: &Bearer) -> Result<Reply, Refusal> {
    query::only(world, call, &["$select"])?;
    who.needs(&["User.Read", "User.Read.All"])?;
    let mut body =
        Map::from_iter([("@odata.context".to_owned(), json!(query::context(world, call, "users", "/$entity")))]);
    body.extend(query::select(call, &properties(&who.user))?);
    Ok(Reply::json(StatusCode::OK, &Value::Object(body)))
}

/// Those that Graph gives when none is selected.
pub(super) fn properties(user: &User) -> Map<String, Value> {
    let body = json!({
        "businessPhones": user.business_phones,
        "displayName": user.display_name,
        "givenName": user.given_name,
        "jobTitle": user.job_title,
        "mail": user.mail,
        "mobilePhone": user.mobile_phone,
        "officeLocation": user.office_location,
        "preferredLanguage": user.preferred_language,
        "surname": user.surname,
        "userPrincipalName": user.user_principal_name,
        "id": user.id,
    });
    match body {
        Value::Object(properties) => properties,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
