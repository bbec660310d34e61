//! Serves the host application's login page, as small as it can be: choose who you are.
//!
//! It sets the session cookie as the host does (`HttpOnly`, `SameSite=Strict`, an ID token) and goes
//! on to the dashboard. Cookies do not depend on ports, so the dashboard's server receives it. Beside it are
//! the other pages of the [`host`](crate::host).

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
use crate::host;
use crate::page::page;

/// The claims `iss` and `aud` of the demo's tokens.
pub(crate) const ISSUER: &str = "http://127.0.0.1/demo";
pub(crate) const CLIENT_ID: &str = "moc-demo";
/// The cookie of the host application.
const COOKIE: &str = "auth_token";
/// Longer than a person watches a demo.
const SESSION: Duration = Duration::from_hours(12);

/// What signs the demo's tokens. New in each run, and known to this process and its server only.
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
    secret: Secret,
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
        let pages = host::routes(&dashboard);
        let place = Arc::new(Place { secret: secret.clone(), dashboard });
        let routes = Router::new()
            .route("/", get(choice))
            .route("/login", get(choice))
            .route("/login/{user}", post(enter))
            .route("/logout", get(leave))
            .with_state(place)
            .merge(pages);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                eprintln!("the login page is no longer served: {error}");
            }
        });
        Ok(Self { address, secret, task })
    }

    /// The page's address.
    pub(crate) fn url(&self) -> String {
        format!("{}/login", base(self.address))
    }

    /// The cookie of a user who has logged in: name and value.
    pub(crate) fn cookie(&self, user: &str) -> anyhow::Result<(&'static str, String)> {
        Ok((COOKIE, self.secret.session(user)?))
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The addresses of the host's pages begin with this, for a listener that is not served yet.
pub(crate) fn base(address: SocketAddr) -> String {
    format!("http://{address}")
}

async fn choice() -> Html<String> {
    Html(page("Whose collection?", &offer("")))
}

/// Ends the session. It is a link, as the host's own may be. The worst that another site's page can do with
/// it is to log a user out of a demo.
async fn leave() -> Response {
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    let said = "<p data-testid=\"logged-out\">You are logged out.</p>\n";
    let page = Html(page("Whose collection?", &offer(said)));
    ([(header::SET_COOKIE, cookie)], page).into_response()
}

fn offer(said: &str) -> String {
    let buttons = USERS.map(|(user, name)| {
        format!(
            "\n<form method=\"post\" action=\"/login/{user}\">\
             <button data-testid=\"login-{user}\">Log in as {name}</button></form>"
        )
    });
    format!(
        "{said}<p>This page stands in for the host application’s login. Each person sees their own \
         collection, and nothing of the other’s.</p>{}",
        buttons.concat()
    )
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
    async fn the_page_offers_all_people() {
        let Html(page) = choice().await;
        for (user, name) in USERS {
            assert!(page.contains(&format!("/login/{user}")) && page.contains(name), "{page}");
        }
    }

    #[tokio::test]
    async fn logging_out_takes_the_cookie_and_offers_all_people() {
        let answer = leave().await;
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        assert!(cookie.starts_with("auth_token=; Path=/;"), "{cookie}");
        assert!(cookie.contains("HttpOnly; SameSite=Strict; Max-Age=0"), "{cookie}");
        let page = axum::body::to_bytes(answer.into_body(), 1 << 16).await.unwrap();
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert!(page.contains("/login/ada") && page.contains("/login/jonas"), "{page}");
    }
}
