//! The problems only races end in; those of every offer are the admission store's.

platform::problem_codes! {
    /// A draw instead of first come, first served.
    LOTTERY_UNAVAILABLE = 422 "races/lottery-unavailable", "Lotteries are not available yet", "추첨 접수는 아직 이용할 수 없습니다";
    /// What people signed up for cannot be changed under them.
    TERMS_FROZEN = 409 "races/terms-frozen", "The sale has started; its terms are frozen", "접수가 시작되어 조건을 변경할 수 없습니다";
    HAS_REGISTRATIONS = 409 "races/has-registrations", "The race has registrations; cancel it instead", "접수 내역이 있어 삭제할 수 없습니다. 대회를 취소해 주세요";
    CANCELLED = 409 "races/cancelled", "The race was cancelled", "취소된 대회입니다";
    NO_SUCH_USER = 404 "races/no-such-user", "Nobody has this username", "해당 아이디의 사용자가 없습니다";
}
