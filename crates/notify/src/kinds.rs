//! The registry of what people are told of. Append only: codes are in the tables and in people's wishes.

/// Where a notice can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    Inbox,
    Email,
    Slack,
}

impl Channel {
    pub const ALL: [Channel; 3] = [Channel::Inbox, Channel::Email, Channel::Slack];

    pub const fn as_str(self) -> &'static str {
        match self {
            Channel::Inbox => "inbox",
            Channel::Email => "email",
            Channel::Slack => "slack",
        }
    }
}

/// One kind of notice.
#[derive(Debug)]
pub struct Kind {
    pub code: &'static str,
    /// The names its texts may use in braces: `{race}`.
    pub values: &'static [&'static str],
    /// Where it leads, made like a text; it may use ids too.
    pub link: &'static str,
    /// Whether people may do without it.
    pub optional: bool,
    /// Where it goes outside the inbox when its reader said nothing.
    pub outside: &'static [Channel],
    pub ko: Text<&'static str>,
    pub en: Text<&'static str>,
}

/// A title and a body with names in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<T> {
    pub title: T,
    pub body: T,
}

impl Kind {
    /// Does it go there when its reader said nothing?
    pub fn goes_to(&self, channel: Channel) -> bool {
        channel == Channel::Inbox || self.outside.contains(&channel)
    }
}

pub fn find(code: &str) -> Option<&'static Kind> {
    ALL.iter().copied().find(|kind| kind.code == code)
}

const EVERYWHERE: &[Channel] = &[Channel::Email, Channel::Slack];
const INBOX_ONLY: &[Channel] = &[];

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal [$($value:literal),*] $link:literal, optional $optional:literal, $outside:ident,
       $ko_title:literal, $ko_body:literal, $en_title:literal, $en_body:literal;)+) => {
        $($(#[$doc])* pub const $name: Kind = Kind {
            code: $code,
            values: &[$($value),*],
            link: $link,
            optional: $optional,
            outside: $outside,
            ko: Text { title: $ko_title, body: $ko_body },
            en: Text { title: $en_title, body: $en_body },
        };)+

        pub const ALL: &[&Kind] = &[$(&$name),+];
    };
}

kinds! {
    PLACE_HELD = "place_held" ["race", "until"] "/registrations/{registration_id}", optional true, INBOX_ONLY,
        "자리를 잡았습니다: {race}", "{until}까지 신청을 마쳐 주세요. 시간이 지나면 자리가 다음 분께 넘어갑니다.",
        "You have a place: {race}", "Finish your registration by {until}; after that the place goes to the next person.";
    /// Once per hold.
    HOLD_ENDING = "hold_ending" ["race", "until"] "/registrations/{registration_id}", optional true, EVERYWHERE,
        "곧 자리가 풀립니다: {race}", "{until}까지 마치지 않으면 자리가 다음 분께 넘어갑니다.",
        "Your place ends soon: {race}", "Unless you finish by {until}, it goes to the next person.";
    WAITLISTED = "waitlisted" ["race"] "/registrations/{registration_id}", optional true, INBOX_ONLY,
        "대기자로 등록되었습니다: {race}", "자리가 나면 순서대로 알려 드립니다.",
        "You are on the wait list: {race}", "We tell you as soon as it is your turn.";
    GRANTED = "granted" ["race", "course", "until"] "/registrations/{registration_id}", optional false, EVERYWHERE,
        "자리가 났습니다: {race}", "{until}까지 신청을 마쳐 주세요. 시간이 지나면 다음 대기자에게 넘어갑니다.",
        "A place came free for you: {race}", "Finish your registration by {until}; after that it goes to the next in line.";
    PAID = "paid" ["race", "amount"] "/registrations/{registration_id}", optional true, EVERYWHERE,
        "결제되었습니다: {race}", "{amount} 결제가 완료되었습니다.",
        "Paid: {race}", "We received {amount}.";
    CONFIRMED = "confirmed" ["race", "course", "bib"] "/registrations/{registration_id}", optional false, EVERYWHERE,
        "참가가 확정되었습니다: {race}", "배번은 {bib}번입니다. 참가권과 일정은 신청 내역에 있습니다.",
        "You are in: {race}", "Your bib number is {bib}. Ticket and calendar are with your registration.";
    REFUNDED = "refunded" ["race", "amount"] "/registrations/{registration_id}", optional true, EVERYWHERE,
        "환불되었습니다: {race}", "지금까지 {amount}을 돌려드렸습니다. 카드사에 따라 며칠 걸릴 수 있습니다.",
        "Refunded: {race}", "{amount} has been given back so far. Your bank may take a few days to show it.";
    CANCELLED = "cancelled" ["race", "course"] "/registrations/{registration_id}", optional true, INBOX_ONLY,
        "신청을 취소했습니다: {race}", "취소가 처리되었습니다.",
        "You cancelled: {race}", "Your registration is cancelled.";
    CANCELLED_BY_ORGANISER = "cancelled_by_organiser" ["race", "course"] "/registrations/{registration_id}", optional false, EVERYWHERE,
        "주최 측이 신청을 취소했습니다: {race}", "결제하신 금액은 전액 환불됩니다.",
        "The organiser cancelled your registration: {race}", "Whatever you paid is given back in full.";
    RACE_CANCELLED = "race_cancelled" ["race", "course"] "/races/{race_id}", optional false, EVERYWHERE,
        "대회가 취소되었습니다: {race}", "결제하신 금액은 전액 환불됩니다.",
        "The race is called off: {race}", "Whatever you paid is given back in full.";
    EXPIRED = "expired" ["race", "course"] "/races/{race_id}", optional true, INBOX_ONLY,
        "자리가 풀렸습니다: {race}", "시간 안에 신청을 마치지 않아 자리가 넘어갔습니다.",
        "Your place has ended: {race}", "The registration was not finished in time.";
    LINE_CLOSED = "line_closed" ["race", "course"] "/races/{race_id}", optional true, EVERYWHERE,
        "대기가 끝났습니다: {race}", "접수가 마감되어 더는 자리가 나지 않습니다.",
        "The wait list has closed: {race}", "Registration is over; no more places come free.";
    FAILED = "failed" ["race", "course"] "/registrations/{registration_id}", optional false, EVERYWHERE,
        "신청이 완료되지 못했습니다: {race}", "결제하신 금액이 있으면 전액 환불됩니다.",
        "Your registration could not be completed: {race}", "Whatever you paid is given back in full.";
    /// What an organiser writes himself.
    ORGANISER_MESSAGE = "organiser_message" ["race", "subject", "message"] "/races/{race_id}", optional false, EVERYWHERE,
        "{race}: {subject}", "{message}",
        "{race}: {subject}", "{message}";
    APPLICATION_APPROVED = "application_approved" [] "/", optional false, EVERYWHERE,
        "주최자 신청이 승인되었습니다", "다시 로그인하시면 대회를 열 수 있습니다.",
        "You are an organiser now", "Sign in again to create races.";
    APPLICATION_REJECTED = "application_rejected" ["reason"] "/", optional false, EVERYWHERE,
        "주최자 신청이 반려되었습니다", "{reason}",
        "Your application was turned down", "{reason}";
    /// For admins.
    SAGA_STUCK = "saga_stuck" ["part", "saga", "step", "reason"] "/admin/sagas/{part}/{saga_id}", optional false, EVERYWHERE,
        "처리가 멈췄습니다: {saga}", "{part}의 {step} 단계에서 멈췄습니다. {reason}",
        "A process is stuck: {saga}", "It stopped at {step} in {part}. {reason}";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::check_template;

    #[test]
    fn every_text_uses_names_that_its_kind_has() {
        let mut codes = std::collections::BTreeSet::new();
        for kind in ALL {
            assert!(codes.insert(kind.code), "{} is there twice", kind.code);
            for text in [kind.ko.title, kind.ko.body, kind.en.title, kind.en.body] {
                assert_eq!(check_template(text, kind.values), Ok(()), "{}", kind.code);
            }
        }
    }
}
