//! The problems only races end in; those of every offer are the admission store's.

platform::problem_codes! {
    /// A draw instead of first come, first served.
    LOTTERY_UNAVAILABLE = 422 "races/lottery-unavailable", "Lotteries are not available yet", "추첨 접수는 아직 이용할 수 없습니다";
    /// What people signed up for cannot be changed under them.
    TERMS_FROZEN = 409 "races/terms-frozen", "The sale has started; its terms are frozen", "접수가 시작되어 조건을 변경할 수 없습니다";
    HAS_REGISTRATIONS = 409 "races/has-registrations", "The race has registrations; cancel it instead", "접수 내역이 있어 삭제할 수 없습니다. 대회를 취소해 주세요";
    CANCELLED = 409 "races/cancelled", "The race was cancelled", "취소된 대회입니다";
    NO_SUCH_USER = 404 "races/no-such-user", "Nobody has this username", "해당 아이디의 사용자가 없습니다";
    /// `next_step` says whose turn it is.
    STEP = 409 "registration/step", "It is not this step's turn", "지금 진행할 수 있는 단계가 아닙니다";
    TERMS_CHANGED = 409 "registration/terms-changed", "The terms have changed; read them again", "약관이 변경되었습니다. 다시 확인해 주세요";
    SOUVENIR_REQUIRED = 409 "registration/souvenir-required", "This race needs a souvenir to be chosen", "기념품을 반드시 선택해야 하는 대회입니다";
    TOO_MANY_MESSAGES = 429 "races/too-many-messages", "A race sends ten messages in 24 hours", "대회마다 24시간에 열 번까지만 메시지를 보낼 수 있습니다";
    /// A bib and its QR code come with the confirmation.
    NO_TICKET = 409 "registration/no-ticket", "Only a confirmed place has a ticket", "확정된 참가만 참가권이 있습니다";
}
