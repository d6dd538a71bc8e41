//! The problems a claim can end in.

crate::problem_codes! {
    SOLD_OUT = 409 "admission/sold-out", "Nothing is left", "모두 마감되었습니다";
    NOT_OPEN = 409 "admission/not-open", "It has not opened yet", "아직 시작되지 않았습니다";
    CLOSED = 409 "admission/closed", "It has closed", "마감되었습니다";
    PAUSED = 409 "admission/paused", "It is paused for the moment", "잠시 중단되었습니다";
    LIMIT = 409 "admission/limit", "You have as many as one person may have", "1인당 한도에 도달했습니다";
    NOT_ELIGIBLE = 409 "admission/not-eligible", "You do not meet the conditions", "참가 조건을 충족하지 않습니다";
    STATE = 409 "admission/state", "Its present state does not allow this", "현재 상태에서는 할 수 없습니다";
    BELOW_TAKEN = 409 "admission/below-taken", "More than that is taken already", "이미 배정된 수보다 적게 줄일 수 없습니다";
    NO_UNITS = 409 "admission/no-units", "Not enough is left for this", "남은 수량이 부족합니다";
    WANT = 422 "admission/want", "This cannot be asked for here", "요청할 수 없는 항목입니다";
    RULES = 422 "admission/rules", "These rules cannot stand", "적용할 수 없는 규칙입니다";
    NOT_FOUND = 404 "admission/not-found", "There is no such claim", "해당 신청을 찾을 수 없습니다";
    BUSY = 503 "admission/busy", "Too many at once; nothing was taken", "요청이 몰리고 있습니다. 아무것도 처리되지 않았습니다";
}
