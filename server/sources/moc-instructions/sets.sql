-- Sets that the user owns.
select id, user_id, theme
from public.sets
where id = any ($1::uuid[]) and status = 'owned'
