-- Lets a task that came back be claimed, once it is ready. One that is charged already goes before others of its class, the
-- earliest due first; any other into its line, before those of its job that have not run yet.
local function offer(uid, index, s, ready, charged, now)
  local task = task_of(uid, index)
  if ready > now then
    call('ZADD', P .. 'later', integer(ready), task)
  elseif charged then
    local returned = P .. 'returned:' .. s.class
    call('ZADD', returned, integer(s.due), task)
    if call('ZCARD', returned) == 1 then ring('work') end
  else
    local place = integer(s.start_by - 1)
    join_line(s, place, place, task)
  end
end
