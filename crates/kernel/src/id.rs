//! The registry of ids: UUIDv7 inside, hyphenated lower-case text outside. Append only.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = uuid::Uuid)]
        pub struct $name(pub uuid::Uuid);

        impl $name {
            /// A fresh, time-ordered id.
            pub fn fresh() -> Self {
                Self(uuid::Uuid::now_v7())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<uuid::Uuid> for $name {
            fn from(id: uuid::Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for uuid::Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )+};
}

ids! {
    /// A claim on units of an offer, and the context's own row that goes with it (a registration).
    ClaimId;
    /// One event of an outbox; consumers are idempotent by it.
    EventId;
    /// What an organiser wrote to those who registered.
    MessageId;
    /// A scarce thing with one order log. Not the id of the race that is sold.
    OfferId;
    /// One intent to pay, and what came of it.
    PaymentId;
    RaceId;
    /// One sign-in: a family of refresh tokens.
    SessionId;
    UserId;
}
