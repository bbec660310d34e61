//! The native SDK as an app uses it: what it shows, and what it says about it.

use std::sync::{Arc, Mutex, PoisonError};

use client_sdk::driver::native::{DashboardClient, Options};
use client_sdk::state::{Code, DashboardState, Diagnostic, Source, Status};
use shared_types::DashboardView;
use tokio::sync::watch;

use crate::waiting::DEADLINE;
use crate::{Rest, TestApp};

type Diagnostics = Arc<Mutex<Vec<Diagnostic>>>;
type Sources = Arc<Mutex<Vec<Source>>>;

/// A running client of the SDK.
pub struct Screen {
    /// The client itself.
    pub client: DashboardClient,
    diagnostics: Diagnostics,
    sources: Sources,
    /// Whether there is a new diagnostic to read.
    told: watch::Receiver<()>,
}

impl Screen {
    /// That user's dashboard at the app under test.
    #[must_use]
    pub fn open(app: &TestApp, user: &str) -> Self {
        let tokens = app.tokens.clone();
        let user = user.to_owned();
        Self::open_with(&app.url(), move || tokens.access(&user))
    }

    /// A dashboard at any server, with tokens from that function.
    #[must_use]
    pub fn open_with(url: &str, token: impl Fn() -> String + Send + Sync + 'static) -> Self {
        let options = Options::new(url).token(move || {
            let token = token();
            async move { token }
        });
        Self::open_options(options)
    }

    /// A dashboard with the given options; its diagnostics come here.
    #[must_use]
    pub fn open_options(options: Options) -> Self {
        let diagnostics = Diagnostics::default();
        let (tell, told) = watch::channel(());
        let options = options.on_diagnostic({
            let diagnostics = Arc::clone(&diagnostics);
            move |diagnostic| {
                diagnostics.lock().unwrap_or_else(PoisonError::into_inner).push(diagnostic);
                tell.send_replace(());
            }
        });
        let client = DashboardClient::start(options).expect("the client starts");
        let sources = Sources::default();
        tokio::spawn(note_sources(client.states(), Arc::clone(&sources)));
        Self { client, diagnostics, sources, told }
    }

    /// Waits for a state that fits.
    pub async fn until(
        &self,
        what: &str,
        fits: impl Fn(&DashboardState) -> bool,
    ) -> Arc<DashboardState> {
        let mut states = self.client.states();
        let found = states.wait_for(|state| fits(state));
        let Ok(found) = tokio::time::timeout(DEADLINE, found).await else {
            panic!(
                "the SDK never came to this: {what}; it is at {:#?}, after {:#?}",
                self.client.state(),
                self.diagnostics()
            );
        };
        Arc::clone(&found.expect("the client lives"))
    }

    /// Waits for that status.
    pub async fn until_status(&self, status: Status) -> Arc<DashboardState> {
        self.until(status.name(), |state| state.status == status).await
    }

    /// Waits until the client is live and shows exactly the snapshot that the server gives now;
    /// returns it. The data must be at rest, and [`projected`](crate::projected).
    pub async fn until_it_shows(&self, rest: &Rest, who: &crate::Credential) -> DashboardView {
        let (expected, _) = rest.snapshot(who).await;
        self.until(&format!("live, and showing {expected:#?}"), |state| {
            state.status == Status::Live && shown(state).as_ref() == Some(&expected)
        })
        .await;
        expected
    }

    /// Waits until a diagnostic with that code was made.
    pub async fn until_told(&self, code: Code) -> Diagnostic {
        let mut told = self.told.clone();
        let found = tokio::time::timeout(DEADLINE, async {
            loop {
                told.mark_unchanged();
                let all = self.diagnostics();
                if let Some(found) = all.into_iter().find(|diagnostic| diagnostic.code == code) {
                    return found;
                }
                told.changed().await.expect("the client lives");
            }
        });
        let Ok(diagnostic) = found.await else {
            panic!("no {}; there was {:#?}", code.name(), self.diagnostics());
        };
        diagnostic
    }

    /// What is on the screen now.
    #[must_use]
    pub fn view(&self) -> Option<DashboardView> {
        shown(&self.client.state())
    }

    /// Every diagnostic so far.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.diagnostics.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every change of status so far, as `from -> to CODE`; a run of steps that repeats is there
    /// once, as the number of failed retries is not fixed.
    #[must_use]
    pub fn timeline(&self) -> Vec<String> {
        let mut steps = Vec::new();
        for Diagnostic { code, message, .. } in self.diagnostics() {
            let change = message.split_once(": ").map(|(change, _)| change);
            if let Some(change) = change.filter(|change| change.contains(" -> ")) {
                steps.push(format!("{change} {}", code.name()));
                let end = steps.len();
                if end >= 4 && steps[end - 2..] == steps[end - 4..end - 2] {
                    steps.truncate(end - 2);
                }
            }
        }
        steps
    }

    /// Where the view came from, from the start until now, each time that it changed. What came and
    /// went within one turn of the runtime may be missing.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many diagnostics have that code.
    #[must_use]
    pub fn count(&self, code: Code) -> usize {
        self.diagnostics().iter().filter(|diagnostic| diagnostic.code == code).count()
    }
}

async fn note_sources(mut states: watch::Receiver<Arc<DashboardState>>, sources: Sources) {
    loop {
        let source = states.borrow_and_update().freshness.source;
        {
            let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
            if sources.last() != Some(&source) {
                sources.push(source);
            }
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

fn shown(state: &DashboardState) -> Option<DashboardView> {
    state.view.as_ref().map(client_sdk::reducer::View::to_dashboard_view)
}
