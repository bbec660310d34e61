-- Wishes that have not become sets.
select id, user_id
from public.wishlist_items as wish
where id = any ($1::uuid[])
  and not exists (select from public.sets as bought where bought.id = wish.id)
