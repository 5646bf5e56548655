-- A heartbeat.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: worker, lease in ms, state, capacity, loaded model, its digest, notice, time left in ms by that, trouble
-- (JSON); then for each task held its uid, index, attempt and progress.
-- Returns the order, the time left by that, for each task `keep`, `cancelled`, `lost` or `unknown`, and how often
-- the worker was refuted and confirmed.
local worker, lease, state, capacity, loaded, loaded_id, notice, left, trouble = unpack(ARGV, 1, 9)
local now = clock()
local ends = integer(now + lease)
local progress, renewed, fates = {}, {}, {}

-- The job is known, and whoever made the task's last attempt may not have it.
local function fate_of(task, uid, index, attempt, c, state_of_task)
  local held = read_held(state_of_task)
  local mine = held and held.worker == worker and held.attempt == attempt
  -- What was made of a cancelled job is listed all the same.
  local wanted = not c.unwanted or tonumber(index) == c.s.total
  if mine and not wanted then
    end_lease(task, worker)
    give_back(uid, index, held, { kind = 'preempted' }, now)
    return 'cancelled'
  end
  if mine then return 'keep' end
  if c.unwanted then return 'cancelled' end
  if not held and adopt(uid, index, attempt, c, state_of_task, worker, now) then return 'keep' end
  return 'lost'
end

for i = 10, #ARGV, 4 do
  local uid, index, attempt, told = unpack(ARGV, i, i + 3)
  local task = task_of(uid, index)
  local values = call('HMGET', P .. 'job:' .. uid, index, unpack(COUNTS))
  local state_of_task = table.remove(values, 1)
  local c = counts_of(values)
  local fate
  if c then
    fate = fate_of(task, uid, index, tonumber(attempt), c, state_of_task)
  elseif call('HEXISTS', P .. 'held:' .. worker, task) == 1 then
    -- The job was forgotten. The lease stays to its end, so that a beat that is repeated gets the same answer.
    fate = 'cancelled'
  else
    fate = 'unknown'
  end
  if fate == 'keep' then
    renewed[#renewed + 1] = ends
    renewed[#renewed + 1] = lease_of(task, worker)
    progress[#progress + 1] = task
    progress[#progress + 1] = pack_progress(c.s, told)
  end
  fates[#fates + 1] = fate
end
if #renewed > 0 then
  call('ZADD', P .. 'leases', unpack(renewed))
  call('HSET', P .. 'held:' .. worker, unpack(progress))
end
send_events()

local order, deadline, idle, refuted, confirmed =
  unpack(call('HMGET', P .. 'worker:' .. worker, 'order', 'deadline', 'idle', 'refuted', 'confirmed'))
idle = count(idle)
if #fates > 0 then idle = 0 elseif idle == 0 then idle = now end
remember_worker(worker, now, 'seen', integer(now), 'idle', integer(idle), 'loaded', loaded, 'loaded_id',
  loaded_id, 'state', state, 'capacity', capacity, 'notice', notice, 'until', integer(now + left), 'trouble', trouble)
-- After its pool is gone its workers may beat a few times more.
call('EXPIRE', P .. 'worker:' .. worker, 86400)
call('EXPIRE', P .. 'workers', 86400)
return { order or 'work', integer(math.max(count(deadline) - now, 0)), fates, count(refuted), count(confirmed) }
