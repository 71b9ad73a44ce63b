//! What the pages say, in English and in Korean.
//! Not here: HTML.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

use super::Trouble;

/// A language that the pages speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// Where nothing else is wished.
    English,
    /// 한국어.
    Korean,
}

/// The words of the consent page. `{client}`, `{service}` and `{host}` are filled in.
pub(super) struct Words {
    pub(super) consent_title: &'static str,
    pub(super) asks: &'static str,
    pub(super) application: &'static str,
    pub(super) unverified: &'static str,
    pub(super) documented: &'static str,
    pub(super) back_to: &'static str,
    pub(super) local: &'static str,
    pub(super) may: &'static str,
    pub(super) next: &'static str,
    pub(super) allow: &'static str,
    pub(super) deny: &'static str,
}

const ENGLISH: Words = Words {
    consent_title: "Allow access?",
    asks: "{client} wants to use your {service}",
    application: "Application",
    unverified: "It gave itself this name. Nobody has checked it.",
    documented: "Described by {host}.",
    back_to: "You will be sent back to",
    local: "You will be sent back to a program on this device. Go on only if you have just started this in a program that you trust.",
    may: "In {service} it may",
    next: "Clear the boxes of what it should not do. Then you log in at Microsoft.",
    allow: "Allow and log in",
    deny: "Deny",
};

const KOREAN: Words = Words {
    consent_title: "접근을 허용할까요?",
    asks: "{client}에서 내 {service}에 접근하려고 합니다",
    application: "애플리케이션",
    unverified: "애플리케이션이 스스로 정한 이름이며, 확인되지 않았습니다.",
    documented: "{host}에서 제공한 정보입니다.",
    back_to: "완료 후 돌아갈 곳",
    local: "이 기기의 프로그램으로 돌아갑니다. 신뢰하는 프로그램에서 방금 직접 시작한 경우에만 계속하세요.",
    may: "{service}에서 허용할 작업",
    next: "허용하지 않을 항목은 선택을 해제하세요. 다음 단계에서 Microsoft에 로그인합니다.",
    allow: "허용하고 로그인",
    deny: "거부",
};

impl Language {
    /// The first of the two that the browser wishes.
    #[must_use]
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut wishes: Vec<(f32, Self)> = value.split(',').take(32).filter_map(wish).collect();
        // Stable: of two that are wished alike the first one wins.
        wishes.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        wishes.first().map_or(Self::English, |(_, language)| *language)
    }

    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    pub(super) fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Korean => &KOREAN,
        }
    }

    /// What a scope means.
    pub(super) fn meaning(self, scope: &str) -> &'static str {
        let (english, korean) = match scope {
            "mail.read" => ("read your mail", "메일 읽기"),
            "mail.write" => (
                "create drafts; change, move and delete mail (and read it)",
                "초안 작성, 메일 수정·이동·삭제(읽기 포함)",
            ),
            "mail.send" => ("send mail in your name", "내 이름으로 메일 보내기"),
            "notes.read" => ("read your notebooks", "전자 필기장 읽기"),
            "notes.write" => ("create, change and delete notes (and read them)", "필기 작성·수정·삭제(읽기 포함)"),
            "files.read" => ("read your files", "파일 읽기"),
            "files.write" => {
                ("create, change, share and delete files (and read them)", "파일 작성·수정·공유·삭제(읽기 포함)")
            }
            "chats.read" => ("read your chats", "채팅 읽기"),
            "chats.send" => ("start chats and send messages in your name", "내 이름으로 채팅 시작 및 메시지 보내기"),
            "channels.read" => ("read channels of your teams", "팀 채널 읽기"),
            "channels.send" => ("post in channels in your name", "내 이름으로 채널에 게시"),
            _ => ("", ""),
        };
        match self {
            Self::English => english,
            Self::Korean => korean,
        }
    }

    /// That a client's wish cannot be served: a title, what it means, and a link to `{host}`.
    pub(super) fn onward(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::English => (
                "This request cannot be served",
                "The application asked for something that this server does not give. It has got nothing.",
                "Go on to {host}",
            ),
            Self::Korean => (
                "요청을 처리할 수 없습니다",
                "애플리케이션이 이 서버에서 제공하지 않는 것을 요청했습니다. 애플리케이션에 부여된 것은 없습니다.",
                "{host} 페이지로 이동",
            ),
        }
    }

    /// Why it cannot go on: a title, and what to do.
    pub(super) fn trouble(self, trouble: Trouble) -> (&'static str, &'static str) {
        match self {
            Self::English => english(trouble),
            Self::Korean => korean(trouble),
        }
    }
}

fn english(trouble: Trouble) -> (&'static str, &'static str) {
    match trouble {
        Trouble::BadRequest => ("This address is not complete", "Start again in the application that sent you here."),
        Trouble::UnknownClient => (
            "This application is not known here",
            "It has never registered, or not for a long time. Remove the connection in the application and add it again.",
        ),
        Trouble::BadRedirect => (
            "This application may not be sent there",
            "It asked to be sent back to an address that it has not registered. Do not go on; tell whoever made the application.",
        ),
        Trouble::Stale => (
            "This page is no longer valid",
            "It was open for more than ten minutes, or has been used. Start again in the application.",
        ),
        Trouble::OtherBrowser => (
            "This was begun in another browser",
            "Start again in the application, and stay in one browser. If you have not started anything, close this page: \
             somebody may be trying to log you in as somebody else. Cookies must be allowed.",
        ),
        Trouble::OtherSite => {
            ("This form came from another site", "Close this page and start again in the application.")
        }
        Trouble::NothingChosen => {
            ("Nothing was chosen", "Go back and mark at least one thing that it may do, or deny.")
        }
        Trouble::NotConfigured => (
            "The login is not set up yet",
            "Whoever runs this server must register an application at Microsoft Entra and set these variables:",
        ),
        Trouble::TooMany(_) => ("Too many requests", "Wait a minute and try again."),
        Trouble::Unavailable => ("This does not work at the moment", "Try again in a minute."),
    }
}

fn korean(trouble: Trouble) -> (&'static str, &'static str) {
    match trouble {
        Trouble::BadRequest => ("주소가 올바르지 않습니다", "이 페이지를 연 애플리케이션에서 다시 시작하세요."),
        Trouble::UnknownClient => (
            "등록되지 않은 애플리케이션입니다",
            "등록된 적이 없거나 오랫동안 사용되지 않았습니다. 애플리케이션에서 연결을 삭제한 뒤 다시 추가하세요.",
        ),
        Trouble::BadRedirect => (
            "허용되지 않은 주소입니다",
            "애플리케이션이 등록하지 않은 주소로 돌아가려고 합니다. 진행하지 말고 애플리케이션 제작자에게 알리세요.",
        ),
        Trouble::Stale => (
            "이 페이지는 더 이상 유효하지 않습니다",
            "10분이 지났거나 이미 사용되었습니다. 애플리케이션에서 다시 시작하세요.",
        ),
        Trouble::OtherBrowser => (
            "다른 브라우저에서 시작된 요청입니다",
            "하나의 브라우저에서 다시 시작하세요. 직접 시작하지 않았다면 이 페이지를 닫으세요. 다른 사람이 자신의 계정으로 \
             로그인시키려는 시도일 수 있습니다. 쿠키를 허용해야 합니다.",
        ),
        Trouble::OtherSite => ("다른 사이트에서 보낸 요청입니다", "이 페이지를 닫고 애플리케이션에서 다시 시작하세요."),
        Trouble::NothingChosen => {
            ("선택한 항목이 없습니다", "뒤로 가서 허용할 항목을 하나 이상 선택하거나 거부를 누르세요.")
        }
        Trouble::NotConfigured => (
            "로그인이 아직 설정되지 않았습니다",
            "서버 운영자가 Microsoft Entra에 애플리케이션을 등록하고 다음 변수를 설정해야 합니다.",
        ),
        Trouble::TooMany(_) => ("요청이 너무 많습니다", "1분 뒤에 다시 시도하세요."),
        Trouble::Unavailable => ("지금은 처리할 수 없습니다", "잠시 후 다시 시도하세요."),
    }
}

fn wish(part: &str) -> Option<(f32, Language)> {
    let (tag, weight) = part.split_once(';').unwrap_or((part, "q=1"));
    let weight: f32 = weight.trim().strip_prefix("q=")?.trim().parse().ok()?;
    let language = match tag.trim().split('-').next()?.to_ascii_lowercase().as_str() {
        "en" | "*" => Language::English,
        "ko" => Language::Korean,
        _ => return None,
    };
    (weight > 0.0).then_some((weight, language))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Service;

    #[test]
    fn the_browser_chooses_the_language() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, value.parse().unwrap());
            Language::of(&headers)
        };
        for value in ["ko", "ko-KR,ko;q=0.9,en;q=0.8", "fr,ko;q=0.5", "en;q=0.5, ko;q=0.7"] {
            assert_eq!(of(value), Language::Korean, "{value}");
        }
        for value in ["en", "en-US,ko;q=0.9", "fr", "", ";;;q=,", "ko;q=0", "*"] {
            assert_eq!(of(value), Language::English, "{value}");
        }
    }

    #[test]
    fn every_scope_has_a_meaning_in_both() {
        for scope in Service::ALL.iter().flat_map(|service| service.scopes()) {
            for language in [Language::English, Language::Korean] {
                assert!(!language.meaning(scope.name).is_empty(), "{}", scope.name);
            }
        }
    }
}
