//! How the tenant behaves until somebody says otherwise.
//! Not here: what happens once (`script`).

use serde::{Deserialize, Serialize};

/// How a person signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// Without a page: `login_hint`, else `sign_in_as`, else the first user of the tenant. For tests.
    Auto,
    /// On a page where a person is chosen. For people and browsers.
    Page,
}

/// What becomes of a refresh token once it was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldRefreshTokens {
    /// It stays good until it expires, as with Entra.
    Good,
    /// It is dead: shows whether a client keeps the new one.
    Dead,
}

/// All lifetimes are in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How a person signs in. `auto`.
    pub login: Login,
    /// Who signs in, by user principal name, when nothing else says so.
    pub sign_in_as: Option<String>,
    /// Graph's access tokens. 3,599: Entra gives 60 to 90 minutes, less a second.
    pub access_token_s: u32,
    /// ID tokens. 3,600.
    pub id_token_s: u32,
    /// Refresh tokens. 7,776,000, which is 90 days.
    pub refresh_token_s: u32,
    /// Authorization codes. 600: "about 10 minutes".
    pub code_s: u32,
    /// How far Entra's clock is ahead of this machine's.
    pub clock_offset_s: i32,
    /// What becomes of a refresh token once it was used. `good`.
    pub old_refresh_tokens: OldRefreshTokens,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            login: Login::Auto,
            sign_in_as: None,
            access_token_s: 3_599,
            id_token_s: 3_600,
            refresh_token_s: 7_776_000,
            code_s: 600,
            clock_offset_s: 0,
            old_refresh_tokens: OldRefreshTokens::Good,
        }
    }
}
