-- Sets that are kept where the MOCs are.
select id, user_id, theme
from public.moc_instructions
where id = any ($1::uuid[]) and lower(type) = 'set'
