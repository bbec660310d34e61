-- Sets that the user wants.
select id, user_id
from public.sets
where id = any ($1::uuid[]) and status = 'wanted'
