//! E-mail by SMTP.

use std::time::Duration;

use anyhow::Context;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message as Letter};
use lettre::transport::smtp::Error;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::{Fault, Message};

const DELIVERY: HeaderName = HeaderName::new_from_ascii_str("X-Madang-Delivery");

pub struct Mail {
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    timeout: Duration,
}

impl Mail {
    pub fn new(url: &str, from: &str, timeout: Duration) -> anyhow::Result<Self> {
        let smtp =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(url).ok().context("notify.smtp_url cannot be read")?;
        let from = from.parse().context("notify.mail_from is no address")?;
        Ok(Self { smtp: smtp.timeout(Some(timeout)).build(), from, timeout })
    }

    pub async fn send(&self, to: &str, message: &Message) -> Result<(), Fault> {
        let to: Mailbox = to.parse().map_err(|_| Fault::Never("the address cannot be read".to_owned()))?;
        let id = message.delivery.to_string();
        let letter = Letter::builder()
            .from(self.from.clone())
            .to(to)
            .subject(message.title.clone())
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .raw_header(HeaderValue::new(DELIVERY, id))
            .body(format!("{}\n\n{}\n", message.body, message.link));
        let letter = letter.map_err(|error| Fault::Never(error.to_string()))?;
        // Why a limit of our own: the transport's is for each of its steps.
        match tokio::time::timeout(self.timeout, self.smtp.send(letter)).await {
            Err(_elapsed) => Err(Fault::Later("no answer in time".to_owned())),
            Ok(Ok(_response)) => Ok(()),
            Ok(Err(error)) => Err(fault(&error)),
        }
    }
}

/// A permanent refusal (5xx) is one of this letter; everything else passes.
fn fault(error: &Error) -> Fault {
    let told = match error.status() {
        Some(code) => format!("SMTP {code}"),
        None => "no connection".to_owned(),
    };
    if error.is_permanent() { Fault::Never(told) } else { Fault::Later(told) }
}
