//! The problems only payments end in.

platform::problem_codes! {
    /// What was to be paid for is not to be had any more; nothing was captured.
    EXPIRED = 409 "payments/expired", "This payment is over; nothing was charged", "결제 시간이 지났습니다. 결제된 금액은 없습니다";
    PROVIDER = 422 "payments/provider", "This way to pay is not offered", "제공하지 않는 결제 수단입니다";
    PROVIDER_AWAY = 503 "payments/provider-away", "The payment provider does not answer; ask again in a moment", "결제 대행사가 응답하지 않습니다. 잠시 후 다시 확인해 주세요";
    WEBHOOK = 401 "payments/webhook", "This webhook is not signed by the provider", "결제 대행사의 서명이 확인되지 않았습니다";
    /// The payer's page of the sandbox: nothing can be chosen any more.
    DECIDED = 409 "payments/decided", "This payment was decided already", "이미 처리된 결제입니다";
    /// A refund's key came again with another payment or amount.
    REFUND_KEY = 422 "payments/refund-key", "This key was used for another refund", "다른 환불에 이미 사용된 키입니다";
}
