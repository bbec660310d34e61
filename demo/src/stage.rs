//! Sets up everything that the demo needs in order, and stops it in the opposite order.

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;

use crate::Arguments;
use crate::catalogue::Catalogue;
use crate::login::{self, Login, Secret};
use crate::server::{Server, Setup};
use crate::{seed, web};

/// What to try in `cargo xtask psql`, in this order.
pub(crate) const STATEMENTS: [&str; 3] = [
    "insert into mocs (user_id, title, theme) values ('ada', 'My First Windmill', 'Castle');",
    "update inventory set ordered_quantity = ordered_quantity + 5 where user_id = 'ada';",
    "delete from mocs where user_id = 'ada' and title = 'My First Windmill';",
];

/// Where files are kept, and whether other programs may be running.
pub(crate) struct Setting {
    server: PathBuf,
    app: PathBuf,
    data: PathBuf,
    output: PathBuf,
    usual_ports: bool,
}

/// A running demo.
pub(crate) struct Stage {
    server: Server,
    login: Login,
    database: PgPool,
    /// Held until the end: two demos may not share their data.
    _lock: File,
}

impl Setting {
    /// For a person who watches the demo: the usual ports.
    pub(crate) fn run(arguments: &Arguments) -> Self {
        Self {
            server: arguments.server.clone(),
            app: arguments.app.clone(),
            data: arguments.data.clone(),
            output: arguments.output.clone(),
            usual_ports: true,
        }
    }

    /// For a program: free ports and separate data, so that it may run beside the other.
    pub(crate) fn check(arguments: &Arguments) -> Self {
        let output = arguments.output.join("check");
        Self { data: output.join("data"), output, usual_ports: false, ..Self::run(arguments) }
    }
}

impl Stage {
    /// Starts everything.
    pub(crate) async fn set(setting: Setting, catalogue: &Catalogue) -> anyhow::Result<Self> {
        fs::create_dir_all(&setting.output)
            .with_context(|| setting.output.display().to_string())?;
        let lock = take(&setting)?;

        // The page's address must be known before the app can get it.
        let listener = listen(setting.usual_ports).await?;
        let web_root = setting.output.join("web");
        web::prepare(&setting.app, &web_root, &login::base(listener.local_addr()?))?;

        let secret = Secret::random();
        let server = Server::start(&Setup {
            program: &setting.server,
            data: &setting.data,
            web_root: &web_root,
            log: &setting.output.join("server.log"),
            secret: &secret,
            usual_ports: setting.usual_ports,
        })
        .await?;
        match furnish(&server, listener, secret, catalogue).await {
            Ok((login, database)) => Ok(Self { server, login, database, _lock: lock }),
            Err(error) => {
                server.stop().await?;
                Err(error)
            }
        }
    }

    /// The database, as any writer sees it.
    pub(crate) fn database(&self) -> &PgPool {
        &self.database
    }

    /// Where a person logs in.
    pub(crate) fn login_url(&self) -> String {
        self.login.url()
    }

    /// The cookie of a user who has logged in: name and value.
    pub(crate) fn cookie(&self, user: &str) -> anyhow::Result<(&'static str, String)> {
        self.login.cookie(user)
    }

    /// The dashboard's address.
    pub(crate) fn dashboard_url(&self) -> &str {
        &self.server.address
    }

    /// Fails when the server ends without being stopped.
    pub(crate) async fn server_ended(&mut self) -> anyhow::Result<()> {
        let status = self.server.ended().await?;
        let log = self.server.log().display();
        Err(anyhow!("the server ended by itself ({status}); its log is {log}"))
    }

    /// Stops everything.
    pub(crate) async fn strike(self) -> anyhow::Result<()> {
        self.database.close().await;
        drop(self.login);
        self.server.stop().await
    }

    /// What a person who has just started the demo wants to know.
    pub(crate) fn instructions(&self) -> String {
        format!(
            "
  The dashboard is live. Open

      {login}

  log in as Ada or as Jonas, and watch: somebody changes Ada's collection every few seconds.
  ({dashboard} is the dashboard itself.)

  Change something yourself: run `cargo xtask psql` in another terminal, and there

      {statements}

  Ctrl-C stops everything.
",
            login = self.login_url(),
            dashboard = self.dashboard_url(),
            statements = STATEMENTS.join("\n\n      "),
        )
    }
}

async fn furnish(
    server: &Server,
    listener: TcpListener,
    secret: Secret,
    catalogue: &Catalogue,
) -> anyhow::Result<(Login, PgPool)> {
    let database = PgPoolOptions::new()
        .max_connections(2)
        .connect(&server.database_url()?)
        .await
        .context("the server's database cannot be reached")?;
    seed::plant(&database, catalogue).await?;
    let login = Login::serve(listener, secret, format!("{}/", server.address))?;
    Ok((login, database))
}

/// Takes the data folder for this run.
fn take(setting: &Setting) -> anyhow::Result<File> {
    let data = &setting.data;
    fs::create_dir_all(data).with_context(|| data.display().to_string())?;
    let path = data.join("demo.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.with_context(|| {
        let (path, data) = (path.display(), data.display());
        format!("cannot open {path}; if another user ran the demo here, delete the folder {data}")
    })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("another demo is running on {}; stop it first", data.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// The port after the server's two, if it is free, so that bookmarks last.
async fn listen(usual_port: bool) -> anyhow::Result<TcpListener> {
    if usual_port && let Ok(listener) = TcpListener::bind(("127.0.0.1", 9114)).await {
        return Ok(listener);
    }
    TcpListener::bind(("127.0.0.1", 0)).await.context("no port is free for the login page")
}
