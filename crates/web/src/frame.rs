//! What every page shares, and how it is sent.

use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use chrono::{DateTime, FixedOffset, NaiveDateTime, Offset, TimeZone, Utc};
use kernel::{UtcTime, Won};
use serde_json::{Value, json};

use crate::answers::{Course, Me};
use crate::assets;
use crate::texts::{Texts, fill};

/// Nothing but our own files, and no script or style in a page.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the layout and the texts of a page need.
pub struct Frame {
    pub t: &'static Texts,
    pub lang: &'static str,
    pub me: Option<Me>,
    /// For the hidden field of forms.
    pub token: String,
    pub path: String,
    pub utc_offset_s: i32,
}

impl Frame {
    pub fn css(&self) -> &'static str {
        assets::MADANG_CSS
    }

    pub fn js(&self) -> &'static str {
        assets::MADANG_JS
    }

    pub fn icon(&self) -> &'static str {
        assets::ICON_SVG
    }

    /// The hidden field every form carries.
    pub fn hidden(&self) -> String {
        format!(r#"<input type="hidden" name="form_token" value="{}">"#, self.token)
    }

    pub fn with(&self, text: &str, value: impl std::fmt::Display) -> String {
        fill(text, &[&value])
    }

    pub fn with2(&self, text: &str, first: impl std::fmt::Display, second: impl std::fmt::Display) -> String {
        fill(text, &[&first, &second])
    }

    pub fn is_role(&self, roles: &[&str]) -> bool {
        self.me.as_ref().is_some_and(|me| roles.contains(&me.role.as_str()))
    }

    pub fn organises(&self) -> bool {
        self.is_role(&["company", "admin"])
    }

    pub fn manages(&self) -> bool {
        self.is_role(&["manager", "admin"])
    }

    pub fn admins(&self) -> bool {
        self.is_role(&["admin"])
    }

    fn local(&self, time: &UtcTime) -> DateTime<FixedOffset> {
        let utc = DateTime::<Utc>::from_timestamp_millis(time.0).unwrap_or_default();
        utc.with_timezone(&self.zone())
    }

    fn zone(&self) -> FixedOffset {
        FixedOffset::east_opt(self.utc_offset_s).unwrap_or_else(|| Utc.fix())
    }

    /// A moment for people, as markup.
    pub fn time(&self, time: &UtcTime) -> String {
        let shown = self.local(time).format("%Y-%m-%d %H:%M");
        format!(r#"<time datetime="{time}">{shown}</time>"#)
    }

    /// A moment as `datetime-local` writes it.
    pub fn for_input(&self, time: &UtcTime) -> String {
        self.local(time).format("%Y-%m-%dT%H:%M").to_string()
    }

    /// A moment from a `datetime-local`; what is none goes on as it is, for the API to refuse.
    pub fn moment_of_input(&self, text: &str) -> Value {
        if text.is_empty() {
            return Value::Null;
        }
        let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
        let parsed = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        let local = parsed.and_then(|naive| self.zone().from_local_datetime(&naive).single());
        local.map_or_else(|| json!(text), |local| json!(UtcTime(local.timestamp_millis())))
    }

    pub fn won(&self, won: &Won) -> String {
        fill(self.t.won, &[&won.grouped()])
    }

    /// What something costs, which may be nothing.
    pub fn price(&self, won: &Won) -> String {
        if won.0 == 0 { self.t.free.to_owned() } else { self.won(won) }
    }

    /// A course by its kind and, where that does not say it, its distance.
    pub fn course(&self, course: &Course) -> String {
        match course.kind.as_str() {
            "km5" | "km10" | "free" => course.distance(),
            kind => format!("{} {}", self.state(kind), course.distance()),
        }
    }

    pub fn percent(&self, rate: &Option<f64>) -> String {
        rate.map_or("–".to_owned(), |rate| format!("{:.0} %", rate * 100.0))
    }

    /// A duration in milliseconds, for people.
    pub fn took(&self, ms: &Option<i64>) -> String {
        match ms {
            None => "–".to_owned(),
            Some(ms) if *ms < 1_000 => format!("{ms} ms"),
            Some(ms) if *ms < 60_000 => format!("{:.1} s", *ms as f64 / 1_000.0),
            Some(ms) => format!("{} min", ms / 60_000),
        }
    }

    /// What a choice at the sandbox is called.
    pub fn outcome<'a>(&self, outcome: &'a str) -> &'a str {
        match outcome {
            "late" => self.t.sandbox_late,
            "twice" => self.t.sandbox_twice,
            "wrong_amount" => self.t.sandbox_wrong_amount,
            "unknown" => self.t.sandbox_unknown,
            other => other,
        }
    }

    /// What a state is called.
    pub fn state<'a>(&self, state: &'a str) -> &'a str {
        let t = self.t;
        match state {
            "scheduled" => t.state_scheduled,
            "open" => t.state_open,
            "paused" => t.state_paused,
            "sold_out" => t.state_sold_out,
            "closed" => t.state_closed,
            "waitlisted" => t.state_waitlisted,
            "held" => t.state_held,
            "paying" => t.state_paying,
            "confirmed" => t.state_confirmed,
            "expired" => t.state_expired,
            "cancelled" => t.state_cancelled,
            "failed" => t.state_failed,
            "pending" => t.state_pending,
            "approved" => t.state_approved,
            "rejected" => t.state_rejected,
            "active" => t.state_active,
            "banned" => t.state_banned,
            "member" => t.role_member,
            "company" => t.role_company,
            "manager" => t.role_manager,
            "admin" => t.role_admin,
            "terms" => t.step_terms,
            "course" => t.step_course,
            "souvenir" => t.step_souvenir,
            "address" => t.step_address,
            "payment" => t.step_payment,
            "paid" => t.step_paid,
            "km5" => "5 km",
            "km10" => "10 km",
            "half" => t.type_half,
            "full" => t.type_full,
            "free" => t.type_free,
            other => other,
        }
    }
}

/// A page that went well.
pub fn page(template: &impl Template) -> Response {
    page_with(StatusCode::OK, template)
}

pub fn page_with(status: StatusCode, template: &impl Template) -> Response {
    let html = match template.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    response
}

/// A form that is shown again carries the problem's status.
pub fn again(fault_status: u16, template: &impl Template) -> Response {
    page_with(StatusCode::from_u16(fault_status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY), template)
}

/// After a form that was taken: a page of its own, which can be loaded again.
pub fn go(path: impl AsRef<str>) -> Response {
    Redirect::to(path.as_ref()).into_response()
}

/// A place on this yard to go back to; what leads elsewhere leads home.
pub fn own_path(given: &str) -> &str {
    let fine = given.starts_with('/') && !given.starts_with("//") && !given.contains(['\\', '\r', '\n', '\t']);
    if fine { given } else { "/" }
}
