//! A whole yard in one process: every context, the gateway before them, and what runs beside the requests.

mod contexts;
mod operating;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use gateway::Gateway;
use payments::sandbox::Sandbox;
use platform::admission::Admission;
use platform::db::{Clock, Db, DbError};
use platform::events::{self, Consumer};
use platform::http::{edge, note_route};
use platform::jobs::Job;
use platform::peers::Peers;
use platform::saga::Sagas;
use platform::service::{Service, housekeeping};
use platform::telemetry::{self, Telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa_axum::router::OpenApiRouter;

use crate::backup;
use crate::config::Config;
use crate::directory::DataDir;
use crate::socket;

/// What is under way on the socket at shutdown gets so long.
const COMMANDS_DRAIN_MAX: Duration = Duration::from_secs(5);

/// Closing politely is not worth a longer stop: whatever was answered is on the disk already.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// A yard, ready to answer. Its directory is its own until it is dropped.
pub struct Yard {
    dir: DataDir,
    router: Router,
    commands: Router,
    openapi: Arc<str>,
    databases: Vec<Db>,
    consumers: Vec<Consumer>,
    jobs: Vec<Job>,
    sagas: Vec<Sagas>,
    gateway: Arc<Gateway>,
    peers: Peers,
    /// A payment provider of this process, until it runs.
    sandbox: Mutex<Option<Sandbox>>,
    clock: Clock,
    logs_begun: u64,
    telemetry: Telemetry,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Yard {
    /// Takes the directory, opens the yard and starts what runs beside the requests. `extra` are routes that go
    /// through the same gateway as the yard's own.
    pub async fn start(data_dir: &Path, config: Config, extra: Option<Router>) -> Result<Yard> {
        let yard = Yard::open(DataDir::take_or_refuse(data_dir)?, config, extra).await?;
        yard.run().await;
        Ok(yard)
    }

    /// Opens the databases, brings up their tables and puts the routes together; nothing runs yet.
    pub async fn open(dir: DataDir, config: Config, extra: Option<Router>) -> Result<Yard> {
        let telemetry = start_telemetry(&config)?;
        let clock = Clock::default();
        let contexts::Opened { services, gateway, revocations, peers, sandbox, shared, web } =
            contexts::open(dir.path(), config, &clock).await?;
        let offers: Vec<Admission> = services.iter().filter_map(|service| service.offers.clone()).collect();
        let logs_begun = backup::begin_logs_anew(dir.path(), shared.as_ref(), &offers).await?;
        let databases: Vec<Db> = services.iter().map(|service| service.db.clone()).collect();
        let files = databases.iter().cloned().chain(sandbox.as_ref().map(|sandbox| sandbox.db().clone())).collect();
        let backups = backup::routes(backup::State { data_dir: dir.path().to_owned(), files, offers });
        let api = OpenApiRouter::with_openapi(operating::addresses());
        let mut parts = Parts { api, ..Parts::default() };
        for service in services {
            parts.add(service);
        }
        peers.connect(parts.internal);
        let (api, document) = parts.api.split_for_parts();
        let openapi: Arc<str> = operating::document(&document)?.into();
        let operating = operating::State {
            openapi: openapi.clone(),
            telemetry: telemetry.clone(),
            databases: databases.clone().into(),
            revocations,
        };
        let routes = api.merge(operating::routes(operating)).merge(extra.unwrap_or_default());
        // The pages ask the API as strangers do, so it is whole before they are added to it.
        let api = behind_the_edge(behind_the_gateway(routes.clone(), &gateway));
        let contexts::WebSettings { key, public_url, utc_offset_s } = web;
        let web = web::open(web::Deps { api, key, public_url, utc_offset_s });
        let routes = behind_the_edge(behind_the_gateway(routes.merge(web::routes(&web)), &gateway));
        Ok(Yard {
            dir,
            router: routes.layer(axum::middleware::from_fn_with_state(web, web::pages_for_browsers)),
            commands: behind_the_edge(with_fallbacks(parts.commands)).merge(backups),
            openapi,
            databases,
            consumers: parts.consumers,
            jobs: parts.jobs,
            sagas: parts.sagas,
            gateway,
            peers,
            sandbox: Mutex::new(sandbox),
            clock,
            logs_begun,
            telemetry,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Starts deliveries, jobs, sagas and the gateway's own work.
    async fn run(&self) {
        // Why first: otherwise the first signed-in requests would be answered 503. A failure is tried again there.
        self.gateway.catch_up(&self.peers).await.ok();
        if let Some(sandbox) = self.sandbox.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Through gateway and edge, as every other stranger comes in.
            self.tasks.spawn(sandbox.run(self.router.clone(), self.stop.clone()));
        }
        for source in &self.databases {
            self.tasks.spawn(events::run(source.clone(), self.consumers.clone(), self.stop.clone()));
        }
        for job in &self.jobs {
            self.tasks.spawn(job.clone().run(self.stop.clone()));
        }
        for sagas in &self.sagas {
            self.tasks.spawn(sagas.clone().run(self.stop.clone()));
        }
        let (gateway, peers) = (self.gateway.clone(), self.peers.clone());
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(gateway.run(peers)));
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(self.telemetry.clone().upkeep()));
        self.tasks.close();
    }

    /// Answers on `listener` and on the directory's socket until `stop`; then finishes what is under way.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> Result<()> {
        let commands = socket::bind(&self.dir)?;
        let address = listener.local_addr().context("the listener has no address")?;
        tracing::info!(%address, data_dir = %self.dir.path().display(), "the yard is open");
        let mut taking_commands = tokio::spawn(socket::serve(commands, self.commands.clone(), stop.clone()));
        platform::http::serve(listener, self.router.clone(), stop.clone()).await;
        // A connection that never says anything would keep the socket open.
        if tokio::time::timeout(COMMANDS_DRAIN_MAX, &mut taking_commands).await.is_err() {
            taking_commands.abort();
        }
        std::fs::remove_file(self.dir.socket()).ok();
        self.stop().await;
        tracing::info!("the yard is closed");
        Ok(())
    }

    /// Ends deliveries, jobs and the rest, each at its next safe point.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let closing = futures::future::join_all(self.databases.iter().map(Db::close));
        // What a client left behind may hold a connection for as long as a handler may take.
        tokio::time::timeout(CLOSE_MAX, closing).await.ok();
    }

    /// Everything a client can ask, edge and gateway included.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The same, for a caller in this process who comes from `peer`.
    pub fn router_for(&self, peer: SocketAddr) -> Router {
        self.router.clone().layer(axum::Extension(axum::extract::ConnectInfo(peer)))
    }

    /// Asks as another part of the yard would.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// What the socket answers.
    pub fn commands(&self) -> Router {
        self.commands.clone()
    }

    /// The OpenAPI document as JSON.
    pub fn openapi(&self) -> &str {
        &self.openapi
    }

    /// One per context.
    pub fn databases(&self) -> &[Db] {
        &self.databases
    }

    /// The clock of all its parts.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How many order logs began anew when it was opened, because it was restored.
    pub fn logs_begun(&self) -> u64 {
        self.logs_begun
    }

    /// Was everything that was published also taken by everybody?
    pub async fn settled(&self) -> Result<bool, DbError> {
        for source in &self.databases {
            if !events::drained(source, &self.consumers).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The process has one; yards that open at the same time take turns to start it.
fn start_telemetry(config: &Config) -> Result<Telemetry> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    telemetry::start(&config.telemetry)
}

/// The routes and the work of all contexts.
#[derive(Default)]
struct Parts {
    api: OpenApiRouter,
    internal: Router,
    commands: Router,
    consumers: Vec<Consumer>,
    jobs: Vec<Job>,
    sagas: Vec<Sagas>,
}

impl Parts {
    fn add(&mut self, service: Service) {
        self.api = std::mem::take(&mut self.api).merge(service.api);
        self.internal = std::mem::take(&mut self.internal).merge(service.internal);
        self.commands = std::mem::take(&mut self.commands).merge(service.commands);
        self.consumers.extend(service.consumers);
        self.jobs.extend(service.jobs);
        self.sagas.extend(service.sagas);
        self.jobs.push(housekeeping(&service.db));
    }
}

fn behind_the_gateway(routes: Router, gateway: &Arc<Gateway>) -> Router {
    with_fallbacks(routes.route_layer(axum::middleware::from_fn(note_route))).layer(gateway::layer(gateway.clone()))
}

fn behind_the_edge(routes: Router) -> Router {
    routes.layer(axum::middleware::from_fn(edge))
}

/// An unknown address is a problem like any other; a known one answers 405 with `Allow` by itself.
fn with_fallbacks(routes: Router) -> Router {
    routes.fallback(operating::no_route)
}
