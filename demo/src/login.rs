//! The host application's login page, as small as it can be: choose who you are.
//!
//! It sets the session cookie as the host does (`HttpOnly`, `SameSite=Strict`, an ID token) and goes
//! on to the dashboard. Cookies know no ports, so the dashboard's server receives it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderValue, StatusCode, header};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::catalogue::USERS;

/// The claims `iss` and `aud` of the demo's tokens.
pub(crate) const ISSUER: &str = "http://127.0.0.1/demo";
pub(crate) const CLIENT_ID: &str = "moc-demo";
/// The cookie of the host application.
const COOKIE: &str = "auth_token";
/// Longer than anybody looks at a demo.
const SESSION: Duration = Duration::from_hours(12);

/// What signs the demo's tokens; new in each run, and known to this process and its server only.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// 244 random bits.
    pub(crate) fn random() -> Self {
        Self(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
    }

    /// For the server's environment.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// An ID token, as the cookie carries it.
    fn session(&self, user: &str) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let claims = json!({
            "sub": user, "token_use": "id", "aud": CLIENT_ID, "iss": ISSUER,
            "iat": now.as_secs(), "exp": (now + SESSION).as_secs(),
        });
        let key = EncodingKey::from_secret(self.0.as_bytes());
        jsonwebtoken::encode(&Header::default(), &claims, &key).context("no token could be made")
    }
}

/// A login page that is being served.
pub(crate) struct Login {
    address: SocketAddr,
    task: JoinHandle<()>,
}

struct Place {
    secret: Secret,
    dashboard: String,
}

impl Login {
    /// Serves the page for the dashboard at that address.
    pub(crate) fn serve(
        listener: TcpListener,
        secret: Secret,
        dashboard: String,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let place = Arc::new(Place { secret, dashboard });
        let routes = Router::new()
            .route("/", get(page))
            .route("/login", get(page))
            .route("/login/{user}", post(enter))
            .with_state(place);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                eprintln!("the login page is no longer served: {error}");
            }
        });
        Ok(Self { address, task })
    }

    /// The page's address.
    pub(crate) fn url(&self) -> String {
        url(self.address)
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The page's address, for a listener that is not served yet.
pub(crate) fn url(address: SocketAddr) -> String {
    format!("http://{address}/login")
}

async fn page() -> Html<String> {
    let buttons = USERS.map(|(user, name)| {
        format!(
            "<form method=\"post\" action=\"/login/{user}\">\
             <button data-testid=\"login-{user}\">Log in as {name}</button></form>"
        )
    });
    Html(PAGE.replace("{buttons}", &buttons.concat()))
}

async fn enter(State(place): State<Arc<Place>>, Path(user): Path<String>) -> Response {
    if !USERS.iter().any(|(known, _)| *known == user) {
        return (StatusCode::NOT_FOUND, "There is no such person in the demo.").into_response();
    }
    let session = place.secret.session(&user);
    let cookie = session.and_then(|token| {
        let text = format!(
            "{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}",
            SESSION.as_secs()
        );
        HeaderValue::from_str(&text).context("a token is plain text")
    });
    let to = HeaderValue::from_str(&place.dashboard).context("an address is plain text");
    match (cookie, to) {
        (Ok(cookie), Ok(to)) => {
            let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, to)];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("login failed: {error:#}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Log in</title>
<style>
  :root { --paper: oklch(.95 .015 85); --ink: oklch(.32 .015 145); --card: oklch(.97 .015 82);
          --line: oklch(.80 .025 75); --green: oklch(.40 .06 135); --on-green: oklch(.97 .015 85) }
  @media (prefers-color-scheme: dark) {
    :root { --paper: oklch(.18 .012 55); --ink: oklch(.93 .012 80); --card: oklch(.24 .015 55);
            --line: oklch(.38 .02 55); --green: oklch(.55 .10 160); --on-green: oklch(.15 .01 55) }
  }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center;
         background: var(--paper); color: var(--ink); font: 1.05rem/1.6 Georgia, serif }
  main { background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
         padding: 2rem 2.5rem; max-width: 24rem }
  h1 { font-size: 1.6rem; font-weight: 600; margin: 0 0 .5rem }
  form { margin: 1rem 0 0 }
  button { width: 100%; min-height: 44px; font: inherit; border: 0; border-radius: .5rem;
           background: var(--green); color: var(--on-green); cursor: pointer }
  button:focus-visible { outline: 2px solid var(--green); outline-offset: 2px }
</style>
<main>
  <h1>Whose collection?</h1>
  <p>This page stands in for the host application's login. Each person sees their own collection,
     and nothing of the other's.</p>
  {buttons}
</main>
</html>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_an_id_token_of_that_user() {
        let secret = Secret::random();
        let token = secret.session("ada").unwrap();
        let mut rules = jsonwebtoken::Validation::default();
        rules.set_audience(&[CLIENT_ID]);
        rules.set_issuer(&[ISSUER]);
        let key = jsonwebtoken::DecodingKey::from_secret(secret.expose().as_bytes());
        let claims =
            jsonwebtoken::decode::<serde_json::Value>(&token, &key, &rules).unwrap().claims;
        assert_eq!((&claims["sub"], &claims["token_use"]), (&json!("ada"), &json!("id")));
    }

    #[tokio::test]
    async fn logging_in_sets_the_cookie_and_goes_on() {
        let place = Place { secret: Secret::random(), dashboard: "http://127.0.0.1:9/".to_owned() };
        let place = Arc::new(place);
        let answer = enter(State(Arc::clone(&place)), Path("ada".to_owned())).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(answer.headers()[header::LOCATION], "http://127.0.0.1:9/");
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.starts_with("auth_token=ey"), "{cookie}");
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");

        let stranger = enter(State(place), Path("mallory".to_owned())).await;
        assert_eq!(stranger.status(), StatusCode::NOT_FOUND);
        assert!(stranger.headers().get(header::SET_COOKIE).is_none());
    }

    #[tokio::test]
    async fn the_page_offers_everybody() {
        let Html(page) = page().await;
        for (user, name) in USERS {
            assert!(page.contains(&format!("/login/{user}")) && page.contains(name), "{page}");
        }
    }
}
