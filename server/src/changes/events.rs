//! Turns what a refresh read into the events that clients get (D-WS-5, D-WS-6).
//!
//! All events of a refresh carry its revision. The server keeps no copy of what was last sent. It does
//! not compare sections to hold back unchanged ones: a client whose snapshot was read between two
//! changes A→B→A shows B, and comparing A with the A that was last sent would leave it there. The
//! projector does what such a comparison would be for, by comparing rows.

use std::collections::HashMap;

use shared_types::view::RECENT_MOCS_LIMIT;
use shared_types::{EventType, RecentMoc};

use crate::clock;
use crate::dashboard::query::{Added, Refresh};
use crate::dashboard::section::Sections;
use crate::sockets::message::Message;

/// The events that a refresh leads to.
///
/// New MOCs are sent alone, the oldest first, so that a client puts one above the other (D-FR-11). In
/// every other case the whole list is sent: see [`announced`].
///
/// # Errors
/// If a value cannot be written as JSON, which no type of the contract allows.
pub fn messages(refresh: &Refresh) -> Result<Vec<Message>, serde_json::Error> {
    let mut messages = Vec::new();
    let mut push = |message: Result<Message, serde_json::Error>| message.map(|m| messages.push(m));
    let (view, revision) = (&refresh.view, refresh.tag.revision);
    if refresh.sections.contains(Sections::SUMMARY) {
        push(Message::new(EventType::SummaryUpdated, revision, &view.summary))?;
    }
    if refresh.sections.contains(Sections::THEMES) {
        push(Message::new(EventType::ThemeBreakdownUpdated, revision, &view.theme_breakdown))?;
    }
    if refresh.sections.contains(Sections::RECENT) {
        let new = announced(&refresh.added, &view.recent_mocs);
        for moc in new.iter().rev() {
            push(Message::new(EventType::RecentMocAdded, revision, moc))?;
        }
        if new.is_empty() {
            push(Message::new(EventType::RecentMocsUpdated, revision, &view.recent_mocs))?;
        }
    }
    if refresh.sections.contains(Sections::PARTIAL) {
        push(Message::new(EventType::PartialPartsUpdated, revision, &view.partial_parts_mocs))?;
    }
    Ok(messages)
}

/// The head of the list, as far as it is made of new MOCs and nothing else happened to the list. Empty if
/// a client that puts them above what it shows, from the oldest on, might end with another list:
///
/// - something else happened, or a new MOC has an old date and belongs in the middle;
/// - a new MOC that is not in the list is gone again, and not just older than ten others;
/// - they were committed in another order than that of their dates: a client whose snapshot fell
///   between two commits has the younger one already, and would put the older one above it.
fn announced<'a>(added: &[Added], recent: &'a [RecentMoc]) -> &'a [RecentMoc] {
    let Some(new) = added
        .iter()
        .map(|added| Some((clock::id(added.moc?), added.by)))
        .collect::<Option<HashMap<_, _>>>()
    else {
        return &[];
    };
    let by: Vec<_> = recent.iter().map_while(|moc| new.get(&moc.id)).collect();
    let (head, rest) = recent.split_at(by.len());
    let are_others_older = new.len() == head.len() || recent.len() == RECENT_MOCS_LIMIT;
    let are_in_order = by.iter().rev().is_sorted();
    let is_rest_old = rest.iter().all(|moc| !new.contains_key(&moc.id));
    if are_others_older && are_in_order && is_rest_old { head } else { &[] }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use shared_types::{
        BuildStatus, DashboardView, Epoch, Revision, SnapshotTag, Theme, Timestamp, Title,
    };
    use uuid::Uuid;

    use super::*;
    use crate::dashboard::cursor;
    use crate::sockets::message::tests::envelope;

    fn uuid(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn moc(number: u128) -> RecentMoc {
        RecentMoc {
            id: clock::id(uuid(number)),
            title: Title::try_from("A castle").unwrap(),
            theme: Theme::try_from("Castle").unwrap(),
            build_status: BuildStatus::Added,
            cover_image_url: None,
            created_at: Timestamp::try_from("2026-11-23T09:30:00Z").unwrap(),
        }
    }

    fn refresh(sections: Sections, added: &[Option<(u128, i64)>], recent: &[u128]) -> Refresh {
        let epoch = Epoch::try_from("e").unwrap();
        let added = added.iter().map(|added| Added {
            moc: added.map(|(moc, _)| uuid(moc)),
            by: cursor::Cursor(added.map_or(7, |(_, by)| by)),
        });
        Refresh {
            tag: SnapshotTag { epoch, revision: Revision::try_from(7).unwrap() },
            sections,
            added: added.collect(),
            cursor: cursor::Cursor(7),
            removed_to: cursor::Cursor(0),
            view: DashboardView {
                recent_mocs: recent.iter().copied().map(moc).collect(),
                ..DashboardView::default()
            },
        }
    }

    fn sent(refresh: &Refresh) -> Vec<(EventType, Value)> {
        let parse = |message: Message| (message.event_type, envelope(&message));
        messages(refresh).unwrap().into_iter().map(parse).collect()
    }

    #[test]
    fn each_changed_section_is_one_event_and_others_are_none() {
        let all = sent(&refresh(Sections::ALL, &[None], &[1]));
        let types: Vec<_> = all.iter().map(|(event_type, _)| *event_type).collect();
        let expected = [
            EventType::SummaryUpdated,
            EventType::ThemeBreakdownUpdated,
            EventType::RecentMocsUpdated,
            EventType::PartialPartsUpdated,
        ];
        assert_eq!(types, expected);
        assert!(all.iter().all(|(event_type, body)| body["type"] == event_type.name()));
        assert!(all.iter().all(|(_, body)| body["revision"] == 7));
        assert!(sent(&refresh(Sections::NONE, &[], &[1])).is_empty());
    }

    /// What happened to the list: a MOC that was added by that change, or something else.
    type Changes = Vec<Option<(u128, i64)>>;

    /// What a client shows that puts each new MOC above the others, and knows nothing else.
    fn shown(before: &[u128], events: &[(EventType, Value)]) -> Vec<String> {
        let ids = before.iter().map(|number| clock::id(uuid(*number)).as_str().to_owned());
        let mut shown: Vec<String> = ids.collect();
        for (event_type, body) in events {
            assert_eq!(*event_type, EventType::RecentMocAdded);
            let id = body["payload"]["id"].as_str().unwrap().to_owned();
            if !shown.contains(&id) {
                shown.insert(0, id);
            }
            shown.truncate(10);
        }
        shown
    }

    fn ids(recent: &[u128]) -> Vec<String> {
        shown(recent, &[])
    }

    /// MOCs that were added by changes one after the other.
    fn each(mocs: &[u128]) -> Changes {
        (1..).zip(mocs).map(|(by, moc)| Some((*moc, by))).collect()
    }

    #[test]
    fn each_new_moc_at_the_head_is_sent_by_itself() {
        let long: Vec<u128> = (1..=30).rev().collect();
        let cases: [(Changes, &[u128], usize); 6] = [
            (each(&[3]), &[3, 2, 1], 1),
            (each(&[2, 3]), &[3, 2, 1], 2),
            // By one statement, in no order.
            (vec![Some((3, 7)), Some((2, 7))], &[3, 2, 1], 2),
            (each(&[1, 2, 3]), &[3, 2, 1], 3),
            // More than the list holds.
            (each(&(11..=30).collect::<Vec<_>>()), &long[..10], 10),
            // One has an old date, and is not in the list.
            (each(&[90, 30]), &long[..10], 1),
        ];
        for (added, recent, count) in cases {
            let events = sent(&refresh(Sections::RECENT, &added, recent));
            assert_eq!(events.len(), count, "{added:?}");
            // Wherever between the commits the snapshot of a client fell.
            for known in 0..=count {
                let new = &recent[..count];
                let old: Vec<u128> =
                    new[count - known..].iter().chain(&recent[count..]).copied().collect();
                assert_eq!(shown(&old, &events), ids(recent), "{added:?}: {known}");
            }
        }
    }

    #[test]
    fn anything_else_sends_the_whole_list() {
        let long: Vec<u128> = (21..=30).rev().collect();
        let cases: [(Changes, &[u128]); 9] = [
            // Something besides the insertion touched the list.
            (vec![Some((3, 7)), None], &[3, 2, 1]),
            // A new MOC with an old date is not at the head.
            (each(&[1]), &[3, 2, 1]),
            (each(&[1, 3]), &[3, 2, 1]),
            (each(&[25, 30]), &long),
            // A client may have the younger of two and not the older.
            (each(&[3, 2]), &[3, 2, 1]),
            // One of the new MOCs is gone again.
            (each(&[3, 4]), &[3, 2, 1]),
            (each(&[3, 2, 1, 4]), &[3, 2, 1]),
            // The section was asked for without a change.
            (vec![], &[3, 2, 1]),
            (each(&[1]), &[]),
        ];
        for (added, recent) in cases {
            let events = sent(&refresh(Sections::RECENT, &added, recent));
            assert_eq!(events.len(), 1, "{added:?}");
            assert_eq!(events[0].0, EventType::RecentMocsUpdated, "{added:?}");
            assert_eq!(events[0].1["payload"].as_array().map(Vec::len), Some(recent.len()));
        }
    }
}
