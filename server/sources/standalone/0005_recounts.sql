-- Nothing writes this any more. In a step of its own, because a transaction that waits here may have
-- locked what the step before locks.
alter table dashboard.recounts drop column shown;
