//! Identity's own problems.

platform::problem_codes! {
    CREDENTIALS = 401 "identity/credentials", "The username or the password is not right", "아이디 또는 비밀번호가 올바르지 않습니다";
    BANNED = 403 "identity/banned", "This account is suspended", "이용이 정지된 계정입니다";
    SLOW_DOWN = 429 "identity/slow-down", "Too many failed attempts; wait a moment", "실패한 시도가 너무 많습니다. 잠시 후 다시 시도해 주세요";
    USERNAME_TAKEN = 409 "identity/username-taken", "This username is taken", "이미 사용 중인 아이디입니다";
    NICKNAME_TAKEN = 409 "identity/nickname-taken", "This nickname is taken", "이미 사용 중인 닉네임입니다";
    OWN_ACCOUNT = 403 "identity/own-account", "Nobody does this to his own account", "본인 계정에는 할 수 없습니다";
    RANK = 403 "identity/rank", "This account ranks too high for that", "권한이 더 높은 계정에는 할 수 없습니다";
    NOT_A_MEMBER = 409 "identity/not-a-member", "This account is an organiser's or a manager's already", "이미 주최자 또는 관리자 계정입니다";
    APPLICATION_OPEN = 409 "identity/application-open", "An application is waiting for its decision already", "이미 심사 중인 신청이 있습니다";
    APPLICATION_DECIDED = 409 "identity/application-decided", "This application was decided already", "이미 처리된 신청입니다";
}
