-- Sets that the user owns.
select id, user_id, theme
from collection.sets
where id = any ($1::uuid[])
