-- MOCs that have been taken apart for good, with what they give away: as JSON, which mocs.sql reads.
select moc.id, moc.user_id,
       (select coalesce(jsonb_agg(to_jsonb(lots) order by part_id, color), '[]')
        from (
            select part.part_id, part.color, sum(greatest(part.quantity, 0)) as quantity
            from public.moc_parts_lists as list
            join public.moc_parts as part on part.parts_list_id = list.id
            where list.moc_id = moc.id
            group by part.part_id, part.color
        ) as lots) as content
from public.moc_instructions as moc
where moc.id = any ($1::uuid[])
  and lower(moc.type) <> 'set'
  and moc.build_status = 'parted_out'
  and moc.want_to_build = false
