//! Accounts, sign-ins and powers through the gateway, as clients meet them.

mod accounts;
mod powers;
mod sign_in;
