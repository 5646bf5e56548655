-- The listing of a job's images is stored.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: worker, uid, index, attempt, where it is (JSON).
-- Returns whether that was accepted.
local worker, uid, index, attempt, stored = unpack(ARGV)
local job = P .. 'job:' .. uid
local now = clock()
local c = read_counts(uid)
if not c or tonumber(index) ~= c.s.total then return 0 end
local state = call('HGET', job, index)
local held = read_held(state)
local mine = held and held.worker == worker and held.attempt == tonumber(attempt)
if not mine then
  local by, who = (state or ''):match('^done (%d+) %d+ (.-)\n')
  return (by == attempt and who == worker) and 1 or 0
end
end_lease(task_of(uid, index), worker)
call('HSET', job, index, pack_done(attempt, now, worker, stored))
event(uid, 'finished')
send_events()
return 1
