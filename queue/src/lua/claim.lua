-- A worker takes tasks.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: worker, lease in ms, how many, capacity, loaded model, its digest.
-- Returns the tasks by job (uid, first index, how many, attempt, whether to look for the object first, when the
-- leases end, expected GPU ms of one, record, payload if it is small), and whether to call again: the script has
-- done what one may, and there may be more.
local worker, lease, want, capacity, loaded, loaded_id = unpack(ARGV)
local now = clock()
local order, seen, idle, had, of = unpack(call('HMGET', P .. 'worker:' .. worker, 'order', 'seen', 'idle', 'loaded', 'capacity'))
if order and order ~= 'work' then return { {}, 0 } end

local ask = {
  worker = worker, now = now, ends = integer(now + tonumber(lease)), want = tonumber(want), loaded_id = loaded_id,
  classes = {}, learned = {}, quantum = 1,
}

-- So many times may something be put right before a claim gives up and is to be called again.
local ROUNDS = 64

local function read_classes()
  local suspended, packed = unpack(call('HMGET', P .. 'settings', 'suspended', 'classes:' .. capacity))
  if not packed or suspended == '1' then return end
  local returned = {}
  for i, setting in ipairs(cmsgpack.unpack(packed)) do
    ask.classes[i] = { name = setting[1], sla = setting[2], passes = 0 }
    returned[i] = P .. 'returned:' .. setting[1]
  end
  if #returned == 0 then return end
  ask.returned = math.min(call('EXISTS', unpack(returned)), 1)
  if ask.want > 1 and #returned == 1 then
    local flows = call('ZCARD', P .. 'turns:' .. ask.classes[1].name)
    ask.quantum = math.max(1, math.ceil(ask.want / math.max(flows, 1)))
  end
end

read_classes()
local rounds, more = ask.want + ROUNDS, 0
while granted.tasks < ask.want and serve_one(ask) do
  rounds = rounds - 1
  if rounds == 0 then
    more = 1
    break
  end
end
write_granted(ask)

idle = count(idle)
local holds = granted.tasks > 0 or (idle == 0 and call('EXISTS', P .. 'held:' .. worker) == 1)
local new_idle = holds and 0 or (idle == 0 and now or idle)
if new_idle ~= idle or had ~= loaded or of ~= capacity or now - count(seen) >= 3000 then
  remember_worker(worker, now, 'seen', integer(now), 'idle', integer(new_idle), 'loaded', loaded, 'loaded_id', loaded_id,
    'capacity', capacity, 'state', 'ready')
end
send_events()
return { granted.chunks, more }
