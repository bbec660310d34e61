-- MOCs, with how far their parts are there: owned or ordered.
select moc.id, moc.user_id, moc.title, moc.theme, moc.build_status, moc.cover_image_url,
       moc.created_at, moc.updated_at,
       counted.covered as covered_parts,
       counted.total as total_parts
from collection.mocs as moc
left join lateral (
    select sum(part.quantity) as total,
           sum(least(part.quantity::bigint,
                     coalesce(lot.owned_quantity::bigint + lot.ordered_quantity, 0))) as covered
    from collection.moc_parts as part
    left join collection.inventory as lot
        on lot.user_id = moc.user_id
       and lot.part_num = part.part_num
       and lot.color_id = part.color_id
    where part.moc_id = moc.id
) as counted on true
where moc.id = any ($1::uuid[])
