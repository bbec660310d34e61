//! Serves the host application's pages that the dashboard leads to. Each says in a sentence what the host
//! shows there, and leads back.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, Uri};

use crate::page::{escaped, page};

/// The pages, for the dashboard at that address.
pub(crate) fn routes(dashboard: &str) -> Router {
    Router::new()
        .route("/instructions/new", get(new_moc))
        .route("/instructions/{id}", get(moc))
        .route("/gallery", get(gallery))
        .route("/wishlist", get(wishlist))
        .fallback(unknown)
        .with_state(Arc::from(dashboard))
}

type Dashboard = State<Arc<str>>;

async fn new_moc(State(dashboard): Dashboard) -> Html<String> {
    let says = "<p>Here the host application has its form for a new MOC: title, theme, picture and parts \
                list.</p>";
    sheet("Add a MOC", says, &dashboard)
}

async fn moc(State(dashboard): Dashboard, Path(id): Path<String>) -> Html<String> {
    let says = format!(
        "<p>Here the host application shows one MOC, with its pictures and building instructions.</p>\
         <p id=\"parts\">Further down it lists the MOC’s parts, and which of them are still to be \
         ordered.</p>\
         <p class=\"aside\">MOC {}</p>",
        escaped(&id)
    );
    sheet("A MOC", &says, &dashboard)
}

async fn gallery(State(dashboard): Dashboard) -> Html<String> {
    let says = "<p>Here the host application shows all MOCs of the collection as a gallery.</p>";
    sheet("Gallery", says, &dashboard)
}

async fn wishlist(State(dashboard): Dashboard) -> Html<String> {
    let says = "<p>Here the host application shows the sets that are wished for.</p>";
    sheet("Wishlist", says, &dashboard)
}

async fn unknown(State(dashboard): Dashboard, uri: Uri) -> Response {
    let says = format!(
        "<p>In the demo, the host application has no page <code>{}</code>.</p>",
        escaped(uri.path())
    );
    (StatusCode::NOT_FOUND, sheet("No such page", &says, &dashboard)).into_response()
}

fn sheet(title: &str, says: &str, dashboard: &str) -> Html<String> {
    let back = escaped(dashboard);
    let content = format!(
        "{says}\n<p class=\"aside\">This page stands in for the host application, which the demo does \
         not have.</p>\n<p class=\"on\"><a data-testid=\"back\" href=\"{back}\">Back to the \
         dashboard</a></p>"
    );
    Html(page(title, &content))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DASHBOARD: &str = "http://127.0.0.1:9/";

    fn dashboard() -> Dashboard {
        State(Arc::from(DASHBOARD))
    }

    #[tokio::test]
    async fn every_page_leads_back_and_nowhere_else() {
        let missing = unknown(dashboard(), Uri::from_static("//evil.example/%3Cb%3E?to=x")).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        let missing = axum::body::to_bytes(missing.into_body(), 1 << 16).await.unwrap();
        let pages = [
            new_moc(dashboard()).await.0,
            moc(dashboard(), Path("1".to_owned())).await.0,
            gallery(dashboard()).await.0,
            wishlist(dashboard()).await.0,
            String::from_utf8(missing.to_vec()).unwrap(),
        ];
        for page in pages {
            let links: Vec<_> = page.match_indices("href=").collect();
            assert_eq!(links.len(), 1, "{page}");
            assert!(page.contains(&format!("href=\"{DASHBOARD}\"")), "{page}");
            assert!(page.contains("host application"), "{page}");
        }
    }

    #[tokio::test]
    async fn what_the_address_says_is_shown_as_text() {
        let odd = "<script>alert(1)</script>";
        let Html(page) = moc(dashboard(), Path(odd.to_owned())).await;
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)"), "{page}");
    }
}
