//! The file that keeps the last view. One task writes it, in the order of the driver's requests, so
//! a view that was dropped stays dropped, even if an earlier write was still under way.

use std::fs;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::clock::wall_clock;
use super::journal::Journal;
use super::run::Answer;
use crate::codec::push_escaped;
use crate::last_view::LastView;
use crate::machine::{EffectId, Input};
use crate::state::{Code, Diagnostic, Level};
use crate::time::Clock;

/// The largest file that is read; a view of 10,000 partial rows is about 3 MB.
const LARGEST_FILE: u64 = 32 << 20;

/// Where the last view is kept, and whose it is.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    pub(super) user: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

/// The driver's hand on the task.
pub(super) struct ViewStore {
    journal: Arc<Journal>,
    user: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Whose session this is. Nothing is loaded or kept without a user, or once the program has named another
    /// one than at the session's beginning: what is shown may be either's.
    session: Option<String>,
    orders: mpsc::UnboundedSender<Order>,
}

enum Order {
    Load { epoch: EffectId, user: String },
    Save { user: String, record: String },
    Drop,
}

impl ViewStore {
    pub(super) fn start(kept: Kept, answers: mpsc::Sender<Answer>, journal: Arc<Journal>) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        tokio::spawn(obey(kept.path, inbox, answers, Arc::clone(&journal)));
        Self { journal, user: kept.user, session: None, orders }
    }

    /// A session begins: whose it is, is asked now.
    pub(super) fn load(&mut self, epoch: EffectId) {
        self.session = self.user();
        if let Some(user) = self.session.clone() {
            self.order(Order::Load { epoch, user });
        }
    }

    /// A session takes the place of another one: whether the user is the same, whose view is shown.
    pub(super) fn is_same_user(&mut self) -> bool {
        let user = self.user();
        let is_same = user.is_some() && user == self.session;
        self.session = user;
        is_same
    }

    pub(super) fn save(&mut self, last: &LastView, clock: &Clock) {
        let user = self.user();
        self.session.take_if(|session| user.as_ref() != Some(session));
        if let Some(user) = self.session.clone() {
            self.order(Order::Save { user, record: last.to_record(clock) });
        }
    }

    pub(super) fn drop_kept(&self) {
        self.order(Order::Drop);
    }

    /// Who the program says it is. A program that panics names no one.
    fn user(&self) -> Option<String> {
        catch_unwind(AssertUnwindSafe(|| (self.user)())).unwrap_or_else(|_| {
            tell(&self.journal, "the program's `user` of the last view panicked".to_owned());
            None
        })
    }

    fn order(&self, order: Order) {
        // The task ends with its runtime only.
        let _ = self.orders.send(order);
    }
}

async fn obey(
    path: PathBuf,
    mut orders: mpsc::UnboundedReceiver<Order>,
    answers: mpsc::Sender<Answer>,
    journal: Arc<Journal>,
) {
    while let Some(order) = orders.recv().await {
        let path = path.clone();
        let work = tokio::task::spawn_blocking(move || match order {
            Order::Load { epoch, user } => load(&path, &user).map(|record| Some((epoch, record))),
            Order::Save { user, record } => save(&path, &user, &record).map(|()| None),
            Order::Drop => remove(&path).map(|()| None),
        });
        match work.await {
            Ok(Ok(Some((epoch, record)))) => {
                // The driver has ended, and waits for no answer.
                let _ = answers.send(Input::LastView { epoch, record }.into()).await;
            }
            // Told here, and not there, where the receiver could block and wait for the client's end.
            Ok(Err(error)) => tell(&journal, format!("the file of the last view: {error}")),
            Ok(Ok(None)) | Err(_) => {}
        }
    }
}

fn tell(journal: &Journal, message: String) {
    let (level, code) = (Level::Warn, Code::LastViewFailed);
    journal.tell(Diagnostic { at: wall_clock(), level, code, message });
}

/// The record in the file, if it is that user's. Another user's is removed on the way.
fn load(path: &Path, user: &str) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        // Opening a pipe blocks until its other end is open.
        Ok(about) if !about.is_file() => return Err(io::Error::other("is no file")),
        Ok(about) if about.len() > LARGEST_FILE => return Err(io::ErrorKind::FileTooLarge.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(error),
    }
    let text = fs::read_to_string(path)?;
    match text.split_once('\n') {
        Some((owner, record)) if owner == escaped(user) => Ok(Some(record.to_owned())),
        _ => remove(path).map(|()| None),
    }
}

/// Whole or not at all: written beside, then moved into its place.
fn save(path: &Path, user: &str, record: &str) -> io::Result<()> {
    let beside = beside(path);
    remove_if_there(&beside)?;
    let mut options = fs::OpenOptions::new();
    // A new one, because what stands there may be a link, or open to others.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all([&escaped(user), "\n", record].concat().as_bytes())?;
    drop(file);
    fs::rename(&beside, path)
}

/// The file, and what a write that failed left of the next one.
fn remove(path: &Path) -> io::Result<()> {
    remove_if_there(&beside(path))?;
    remove_if_there(path)
}

/// Where the next file is written.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    beside.into()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// In one line, for every id.
fn escaped(user: &str) -> String {
    let mut line = String::new();
    push_escaped(&mut line, user);
    line
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::time::Moment;

    #[test]
    fn a_view_is_kept_only_while_the_session_is_the_users() {
        let user = Arc::new(Mutex::new(None));
        let asked = Arc::clone(&user);
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let ask = Arc::new(move || asked.lock().unwrap().clone());
        let journal = Arc::new(Journal::new(Arc::new(drop)));
        let mut view_store = ViewStore { journal, user: ask, session: None, orders };
        let last = LastView {
            view: shared_types::DashboardView::default().into(),
            revision: shared_types::Revision::default(),
            as_of: Moment(5),
        };
        let mut save = |session: Option<&str>, now: Option<&str>| {
            *user.lock().unwrap() = session.map(str::to_owned);
            view_store.load(EffectId(1));
            *user.lock().unwrap() = now.map(str::to_owned);
            view_store.save(&last, &Clock::new(0, 10));
            let mut orders = std::iter::from_fn(|| inbox.try_recv().ok());
            orders.any(
                |order| matches!(order, Order::Save { user, .. } if Some(user.as_str()) == session),
            )
        };
        assert!(save(Some("amber"), Some("amber")));
        assert!(!save(Some("amber"), Some("birch")), "what is shown is not theirs");
        assert!(!save(Some("amber"), None));
        assert!(!save(None, Some("birch")));
        assert!(!save(None, None));
    }

    #[test]
    fn a_view_stays_for_the_next_session_only_where_the_user_never_was_another() {
        let user = Arc::new(Mutex::new(None));
        let asked = Arc::clone(&user);
        let (orders, _inbox) = mpsc::unbounded_channel();
        let ask = Arc::new(move || asked.lock().unwrap().clone());
        let journal = Arc::new(Journal::new(Arc::new(drop)));
        let mut view_store = ViewStore { journal, user: ask, session: None, orders };
        let name = |name: Option<&str>| *user.lock().unwrap() = name.map(str::to_owned);
        let last = LastView {
            view: shared_types::DashboardView::default().into(),
            revision: shared_types::Revision::default(),
            as_of: Moment(5),
        };

        name(Some("amber"));
        view_store.load(EffectId(1));
        // Refused in that time.
        view_store.drop_kept();
        assert!(view_store.is_same_user());
        name(Some("birch"));
        assert!(!view_store.is_same_user());
        assert!(view_store.is_same_user(), "the session is theirs from now on");

        // Another one came, was shown something perhaps, and went.
        name(Some("amber"));
        view_store.save(&last, &Clock::new(0, 10));
        name(Some("birch"));
        assert!(!view_store.is_same_user());

        // The program names another one while the session is refused.
        name(Some("amber"));
        view_store.drop_kept();
        assert!(!view_store.is_same_user());
        name(None);
        assert!(!view_store.is_same_user());
        assert!(!view_store.is_same_user(), "no one is not the same as no one");
    }
}
