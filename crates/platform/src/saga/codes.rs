//! The problems of an operator's word to a saga.

crate::problem_codes! {
    STATE = 409 "saga/state", "Its present state does not allow this", "현재 상태에서는 할 수 없습니다";
    BUSY = 409 "saga/busy", "It is being worked on right now; try again", "지금 처리 중입니다. 잠시 후 다시 시도해 주세요";
    VERSION = 409 "saga/version", "This process does not know its version", "이 서버가 알지 못하는 버전입니다";
}
