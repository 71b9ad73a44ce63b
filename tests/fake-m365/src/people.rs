//! Who is in the tenant.
//! Not here: who is signed in.

use serde::{Deserialize, Serialize};

use crate::world::TENANT;

/// A person, in the words of Graph's `user`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// The object id.
    pub id: String,
    /// The tenant that the person belongs to; another one's can sign in at `common` and `organizations` only.
    #[serde(default = "tenant")]
    pub tenant_id: String,
    /// `minji@sandbox.example`.
    pub user_principal_name: String,
    /// As shown to people.
    pub display_name: String,
    /// The given name.
    #[serde(default)]
    pub given_name: Option<String>,
    /// The family name.
    #[serde(default)]
    pub surname: Option<String>,
    /// What the person does.
    #[serde(default)]
    pub job_title: Option<String>,
    /// The mailbox; people without one exist.
    #[serde(default)]
    pub mail: Option<String>,
    /// A telephone number.
    #[serde(default)]
    pub mobile_phone: Option<String>,
    /// Where the person sits.
    #[serde(default)]
    pub office_location: Option<String>,
    /// A language tag: `ko-KR`.
    #[serde(default)]
    pub preferred_language: Option<String>,
    /// Telephone numbers at work; Graph allows one.
    #[serde(default)]
    pub business_phones: Vec<String>,
}

fn tenant() -> String {
    TENANT.to_owned()
}

/// The people of the sandbox: two Korean, one German without a mailbox.
#[must_use]
pub fn sandbox_users() -> Vec<User> {
    let person = |number: u8, alias: &str, [given, family, display]: [&str; 3], job: &str, language: &str| User {
        id: format!("5a0d0000-0000-4000-8000-0000000000{number:02x}"),
        tenant_id: tenant(),
        user_principal_name: format!("{alias}@sandbox.example"),
        display_name: display.to_owned(),
        given_name: Some(given.to_owned()),
        surname: Some(family.to_owned()),
        job_title: Some(job.to_owned()),
        mail: Some(format!("{alias}@sandbox.example")),
        mobile_phone: None,
        office_location: Some(format!("{number}/1201")),
        preferred_language: Some(language.to_owned()),
        business_phones: vec![format!("+82 2 555 01{number:02}")],
    };
    vec![
        person(1, "minji", ["민지", "김", "김민지"], "Product Manager", "ko-KR"),
        person(2, "junho", ["준호", "이", "이준호"], "Engineer", "ko-KR"),
        User { mail: None, ..person(3, "anna", ["Anna", "Berg", "Anna Berg"], "Auditor", "de-DE") },
    ]
}
