-- MOCs, with how far their parts are there: owned or ordered.
select moc.id, moc.user_id, moc.title, moc.theme, moc.build_status, moc.cover_image_url,
       moc.created_at, moc.updated_at,
       counted.covered as covered_parts,
       counted.total as total_parts
from collection.mocs as moc
left join lateral (
    select sum(part.quantity) as total,
           sum(least(part.quantity::bigint, coalesce(lot.quantity, 0))) as covered
    from collection.moc_parts as part
    -- Part by part (`offset 0`): a plan that was made while the tables were small would go through all of
    -- an owner's lots for each.
    left join lateral (
        select owned_quantity::bigint + ordered_quantity as quantity
        from collection.inventory
        where user_id = moc.user_id
          and part_num = part.part_num
          and color_id = part.color_id
        offset 0
    ) as lot on true
    where part.moc_id = moc.id
) as counted on true
where moc.id = any ($1::uuid[])
