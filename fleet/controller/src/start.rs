//! From settings to a running controller.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::embedded::Embedded;
use bus::{Bus, BusError};
use jiff::Timestamp;
use link::authority::{AuthorityError, LINK_NAME};
use link::clock::ControllerClock;
use link::key::Fingerprint;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::enrolment::Enrolment;
use crate::hosts::Hosts;
use crate::jobs::Jobs;
use crate::keys::{Keys, KeysError, write_private};
use crate::settings::{ApiTls, Listen};
use crate::tokens::{Tokens, TokensError};
use crate::{Controller, Settings, http, link_server};

/// A controller that runs until [`Running::stop`].
pub struct Running {
    controller: Arc<Controller>,
    store: Embedded,
    /// Where the API and the web page listen.
    pub api: SocketAddr,
    /// Where agents dial in.
    pub link: SocketAddr,
    /// Address of the API for clients on this machine.
    pub url: String,
    /// File with the administrator's token.
    pub admin_token: PathBuf,
    stopping: watch::Sender<bool>,
    api_task: JoinHandle<()>,
    other_tasks: Vec<JoinHandle<()>>,
}

/// A controller could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be used.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] AuthorityError),
    /// A certificate or key file cannot be read.
    #[error("{path}: {why}")]
    CertificateFile {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {what}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What for.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Without TLS tokens would cross the network in the clear.
    #[error("the API on {0} needs TLS; leave `tls` to auto, or listen on a loopback address")]
    Plain(SocketAddr),
}

/// What the command line of the same user needs to find the controller: `client.json` in the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFile {
    /// Address of the API.
    pub url: String,
    /// File with a token.
    pub token_file: PathBuf,
    /// The authority that certifies the API, if it is the controller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_fingerprint: Option<Fingerprint>,
}

impl ClientFile {
    /// Name of the file in the data directory.
    pub const NAME: &'static str = "client.json";
}

/// Starts a controller.
///
/// # Errors
/// [`StartError`]; nothing runs then, and what was stored before is as it was.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    allow_many_files();
    let data = settings.data.clone();
    let store = Embedded::open(&data.join("store.db"))?;
    let bus: Arc<dyn Bus> = Arc::new(store.clone());
    let keys = Keys::open(&data, bus.as_ref()).await?;
    let tokens = Tokens::open(&data, Arc::clone(&bus), settings.roles.clone()).await?;
    let admin_token = tokens.ensure_admin(&data).await?;

    let (api_listener, api) = listen(settings.api, "the API").await?;
    let (link_listener, link) = listen(settings.link, "agents").await?;
    let mut link_tls = keys.authority.server_config(&[LINK_NAME.to_owned()], &[])?;
    // Agents never resume a session.
    link_tls.send_tls13_tickets = 0;
    let link_tls = Arc::new(link_tls);
    let api_tls = api_tls(&settings, api, &keys)?;

    let hosts = Arc::new(Hosts::open(Arc::clone(&bus), settings.heartbeat).await?);
    let signing = Arc::new(keys.signing);
    let clock = ControllerClock::starting_at(Timestamp::now().as_millisecond());
    let jobs = Jobs::open(
        Arc::clone(&bus),
        Arc::clone(&hosts),
        keys.id,
        Arc::clone(&signing),
        clock,
        settings.job_timeout,
    )
    .await?;
    let deliveries = bus.deliveries().await?;
    let delivering = tokio::spawn(Arc::clone(&jobs).deliver(deliveries));
    let forgetting = tokio::spawn(forget_rejected(Arc::clone(&hosts)));
    let authority = keys.authority.fingerprint();
    let controller = Arc::new(Controller {
        id: keys.id,
        settings,
        enrolment: Enrolment::new(Arc::clone(&bus), authority),
        bus,
        key: signing,
        authority: keys.authority,
        hosts,
        jobs,
        tokens,
        api,
        link,
        clock,
        started: Instant::now(),
    });

    let url = client_url(api, api_tls.is_some());
    let own_authority = api_tls.is_some() && !matches!(controller.settings.tls, ApiTls::Files { .. });
    let file = ClientFile {
        url: url.clone(),
        token_file: admin_token.clone(),
        ca_fingerprint: own_authority.then_some(authority),
    };
    write_client_file(&data, &file)?;

    let (stopping, stop) = watch::channel(false);
    let api_task = tokio::spawn(http::serve(
        Arc::clone(&controller),
        api_listener,
        api_tls.map(Arc::new),
        stop,
    ));
    let linking = tokio::spawn(link_server::serve(
        Arc::clone(&controller),
        link_listener,
        link_tls,
    ));
    tracing::info!(%api, %link, data = %data.display(), "controller is ready");
    Ok(Running {
        controller,
        store,
        api,
        link,
        url,
        admin_token,
        stopping,
        api_task,
        other_tasks: vec![linking, delivering, forgetting],
    })
}

impl Running {
    /// The controller itself.
    pub fn controller(&self) -> &Arc<Controller> {
        &self.controller
    }

    /// Makes a token with which the agent of this machine can enrol itself once.
    ///
    /// # Errors
    /// [`BusError`] when it cannot be stored.
    pub async fn local_enrolment_token(&self) -> Result<String, BusError> {
        Ok(self
            .controller
            .enrolment
            .create(Duration::from_secs(600), 1)
            .await?
            .token)
    }

    /// Stops taking requests, lets those under way end for up to three seconds, and stops.
    pub async fn stop(self) {
        let _ = self.stopping.send(true);
        let _ = tokio::time::timeout(Duration::from_secs(3), self.api_task).await;
        for task in self.other_tasks {
            task.abort();
            // It lets go of the store only when it is gone.
            let _ = task.await;
        }
        drop(self.controller);
        // What was taken is stored before the process ends, and the next start finds the store free.
        let _ = tokio::time::timeout(Duration::from_secs(3), self.store.close()).await;
    }
}

/// Forgets hosts whose rejection is over, now and every hour.
async fn forget_rejected(hosts: Arc<Hosts>) {
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    loop {
        hours.tick().await;
        if let Err(error) = hosts.forget_rejected().await {
            tracing::warn!(%error, "cannot look through the rejected hosts; tried again in an hour");
        }
    }
}

/// Every agent is an open file: takes as many as the system gives, where the usual start is 1024.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    match raised {
        Ok(()) => tracing::debug!(files = ?limit.maximum, "open files allowed"),
        Err(error) => tracing::warn!(%error, files = ?limit.current, "cannot allow more open files"),
    }
}

async fn listen(wanted: Listen, what: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    const PORTS_TRIED: u16 = 100;
    let wrong = |address| {
        move |source| StartError::Listen {
            address,
            what,
            source,
        }
    };
    let (mut address, tries) = match wanted {
        Listen::Exactly(address) => (address, 0),
        Listen::From(address) => (address, PORTS_TRIED),
    };
    for _ in 0..tries {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                let address = listener.local_addr().map_err(wrong(address))?;
                return Ok((listener, address));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                address.set_port(address.port().wrapping_add(1));
            }
            Err(error) => return Err(wrong(address)(error)),
        }
    }
    let listener = TcpListener::bind(address).await.map_err(wrong(address))?;
    let address = listener.local_addr().map_err(wrong(address))?;
    Ok((listener, address))
}

fn api_tls(settings: &Settings, api: SocketAddr, keys: &Keys) -> Result<Option<ServerConfig>, StartError> {
    let alpn: &[&[u8]] = &[b"h2", b"http/1.1"];
    let own = || {
        let mut names = vec![
            LINK_NAME.to_owned(),
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        if !api.ip().is_unspecified() && !api.ip().is_loopback() {
            names.push(api.ip().to_string());
        }
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        if !hostname.is_empty() {
            names.push(hostname);
        }
        names.extend(settings.link_advertised.iter().filter_map(|address| {
            address
                .rsplit_once(':')
                .map(|(host, _)| host.trim_matches(['[', ']']).to_owned())
        }));
        keys.authority.server_config(&names, alpn).map(Some)
    };
    match &settings.tls {
        ApiTls::Auto | ApiTls::None if api.ip().is_loopback() => Ok(None),
        ApiTls::None => Err(StartError::Plain(api)),
        ApiTls::Auto | ApiTls::OwnAuthority => Ok(own()?),
        ApiTls::Files { certificate, key } => {
            let wrong = |path: &Path| {
                let path = path.to_owned();
                move |error: rustls::pki_types::pem::Error| StartError::CertificateFile {
                    path,
                    why: error.to_string(),
                }
            };
            let chain = CertificateDer::pem_file_iter(certificate)
                .map_err(wrong(certificate))?
                .collect::<Result<Vec<_>, _>>()
                .map_err(wrong(certificate))?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(wrong(key))?;
            Ok(Some(link::authority::server_config(
                chain,
                key,
                alpn,
                rustls::DEFAULT_VERSIONS,
            )?))
        }
    }
}

fn client_url(api: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let mut local = api;
    if api.ip().is_unspecified() {
        local.set_ip(match api {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{scheme}://{local}")
}

fn write_client_file(data: &Path, file: &ClientFile) -> Result<(), StartError> {
    let path = data.join(ClientFile::NAME);
    let text = serde_json::to_string_pretty(file).map_err(|error| KeysError::Damaged {
        path: path.clone(),
        why: error.to_string(),
    })?;
    write_private(&path, &format!("{text}\n"))?;
    Ok(())
}
