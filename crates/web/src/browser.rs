//! Who is looking: one request's session, language and person, and his calls to the API.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, header};
use axum::response::Response;
use platform::http::{Language, Problem, codes};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Deps;
use crate::answers::Me;
use crate::api::{self, Api, Call};
use crate::fault::{Fault, Result};
use crate::frame::Frame;
use crate::seal::Sealer;
use crate::session::{Refreshes, Session, Tokens};
use crate::texts::texts;

/// As long as a refresh token, in seconds.
const COOKIE_MAX_AGE_S: u32 = 14 * 86_400;

/// The state all pages share.
pub struct Web {
    pub api: Api,
    pub sealer: Sealer,
    refreshes: Refreshes,
    /// `Secure` cookies under a name that only https may set.
    secure: bool,
    pub public_url: String,
    pub utc_offset_s: i32,
}

impl Web {
    pub fn new(deps: Deps) -> Self {
        Self {
            api: Api(deps.api),
            sealer: Sealer::new(&deps.key),
            refreshes: Refreshes::default(),
            secure: deps.public_url.starts_with("https://"),
            public_url: deps.public_url,
            utc_offset_s: deps.utc_offset_s,
        }
    }

    fn cookie_name(&self) -> &'static str {
        if self.secure { "__Host-madang" } else { "madang" }
    }

    fn session_of(&self, headers: &HeaderMap) -> Option<Session> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut cookies = lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        let (_, sealed) = cookies.find(|(name, _)| *name == self.cookie_name())?;
        self.sealer.open(sealed)
    }

    fn cookie(&self, session: &Session) -> Option<HeaderValue> {
        let sealed = self.sealer.seal(session)?;
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.cookie_name();
        let cookie = format!("{name}={sealed}; Path=/; Max-Age={COOKIE_MAX_AGE_S}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&cookie).ok()
    }
}

/// One request of a browser.
#[derive(Clone)]
pub struct Browser(Arc<Inner>);

struct Inner {
    web: Arc<Web>,
    from: api::From,
    path: String,
    /// As it came, to see whether the cookie must be written.
    came: Option<Session>,
    session: Mutex<Session>,
    accepted: Language,
    me: Mutex<Option<Me>>,
}

impl Browser {
    /// Reads the cookie.
    pub fn of<B>(web: &Arc<Web>, request: &Request<B>) -> Browser {
        let came = web.session_of(request.headers());
        Browser(Arc::new(Inner {
            web: web.clone(),
            from: api::From::of(request),
            path: request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            session: Mutex::new(came.clone().unwrap_or_else(|| Session::begin(None, None))),
            came,
            accepted: Language::accepted(request.headers().get(header::ACCEPT_LANGUAGE)),
            me: Mutex::new(None),
        }))
    }

    /// Reads who is signed in. Public pages are shown also where that fails; what needs a sign-in fails by itself.
    pub async fn recognise(self) -> Browser {
        if self.tokens().is_some()
            && let Ok(me) = self.get("/api/v1/users/me").await
        {
            *lock(&self.0.me) = Some(me);
        }
        self
    }

    pub fn me(&self) -> Option<Me> {
        lock(&self.0.me).clone()
    }

    pub fn web(&self) -> &Web {
        &self.0.web
    }

    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// His setting, then the footer's switch, then what the browser accepts.
    pub fn language(&self) -> Language {
        let set = lock(&self.0.me).as_ref().map(|me| me.language);
        let chosen = || lock(&self.0.session).language;
        set.or_else(chosen).unwrap_or(self.0.accepted)
    }

    pub fn frame(&self) -> Frame {
        let language = self.language();
        let token = self.0.web.sealer.form_token(&self.session().id);
        Frame {
            t: texts(language),
            lang: language.as_str(),
            me: self.me(),
            token,
            path: self.0.path.clone(),
            utc_offset_s: self.0.web.utc_offset_s,
        }
    }

    pub fn session(&self) -> Session {
        lock(&self.0.session).clone()
    }

    pub fn is_form_token(&self, token: &str) -> bool {
        // A form without a cookie is nobody's.
        self.0.came.as_ref().is_some_and(|session| self.0.web.sealer.is_form_token(&session.id, token))
    }

    pub fn set_language(&self, language: Language) {
        lock(&self.0.session).language = Some(language);
    }

    /// Begins another session: of somebody, or of nobody.
    pub fn begin(&self, tokens: Option<Tokens>) {
        *lock(&self.0.me) = None;
        let mut session = lock(&self.0.session);
        *session = Session::begin(tokens, session.language);
    }

    fn tokens(&self) -> Option<Tokens> {
        lock(&self.0.session).tokens.clone()
    }

    /// Writes the cookie where it changed.
    pub fn dress(&self, response: &mut Response) {
        let session = self.session();
        if self.0.came.as_ref() != Some(&session)
            && let Some(cookie) = self.0.web.cookie(&session)
        {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Browser {
    /// Calls the API as whoever is signed in. A sign-in that ended meanwhile is renewed once.
    pub async fn send(&self, call: Call<'_>) -> std::result::Result<Response, Fault> {
        let Inner { web, from, .. } = &*self.0;
        let language = self.language().as_str();
        let tokens = self.tokens();
        let access = tokens.as_ref().map(|tokens| tokens.access.as_str());
        let first = web.api.send(from, language, access, &call).await;
        let (fault, tokens) = match (first, &tokens) {
            (Err(fault), Some(tokens)) if fault.wants_sign_in() => (fault, tokens),
            (answer, _) => return answer,
        };
        match self.renew(&tokens.refresh).await? {
            Some(renewed) => {
                lock(&self.0.session).tokens = Some(renewed.clone());
                web.api.send(from, language, Some(&renewed.access), &call).await
            }
            None => {
                self.begin(None);
                Err(fault)
            }
        }
    }

    /// One trade per token in this process, and one that ends though the browser goes away.
    async fn renew(&self, refresh_token: &str) -> std::result::Result<Option<Tokens>, Fault> {
        let (inner, refresh_token) = (self.0.clone(), refresh_token.to_owned());
        let trade = tokio::spawn(async move {
            let cell = inner.web.refreshes.of(&refresh_token);
            cell.get_or_try_init(|| inner.web.api.refresh(&inner.from, &refresh_token)).await.cloned()
        });
        trade.await.map_err(|_| Fault::broken())?
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        Ok(api::read(self.send(Call::new(Method::GET, path)).await?).await?)
    }

    /// The same where absence is an answer.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        match self.send(Call::new(Method::GET, path)).await {
            Ok(response) => Ok(Some(api::read(response).await?)),
            Err(fault) if fault.status == 404 => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Says something; what it says back may be a problem that a form shows.
    pub async fn say<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> std::result::Result<T, Fault> {
        let mut call = Call::new(method, path);
        if !body.is_null() {
            call = call.body(body);
        }
        api::read(self.send(call).await?).await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Browser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> std::result::Result<Self, Problem> {
        parts.extensions.get::<Browser>().cloned().ok_or_else(|| Problem::new(&codes::INTERNAL))
    }
}
