-- What the user wishes for.
select id, user_id
from collection.wishlist_items
where id = any ($1::uuid[])
