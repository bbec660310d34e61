//! Works out how far a user's MOCs are covered. It does so as an application does, from its own tables, where its
//! writes show at once. What the dashboard is read from follows a moment later.

/// Each MOC of the user `$1` that has a parts list, with how many parts it takes and how many of them are
/// there or ordered.
pub(crate) const OF_MOCS: &str = "
    select moc.id, moc.title, moc.build_status, moc.created_at, moc.updated_at,
           sum(part.quantity) as total,
           sum(least(part.quantity, coalesce(lot.owned_quantity + lot.ordered_quantity, 0))) as covered
    from collection.mocs as moc
    join collection.moc_parts as part on part.moc_id = moc.id
    left join collection.inventory as lot
        on lot.user_id = moc.user_id and lot.part_num = part.part_num
       and lot.color_id = part.color_id
    where moc.user_id = $1
    group by moc.id";
