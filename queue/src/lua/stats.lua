-- The queue at a glance.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: none.
-- Returns Redis' time; the backlog by bucket; of each lease its task, worker, when it ends, state and steps; of
-- each job of these its uid and record; of each worker its name and fields; the learned ms per unit by work key.
local leases, records, seen = {}, {}, {}
local found = call('ZRANGE', P .. 'leases', 0, -1, 'WITHSCORES')
for i = 1, #found, 2 do
  local task, worker = parts_of(found[i])
  if task then
    local uid, index = cut(task)
    local state, record = unpack(call('HMGET', P .. 'job:' .. uid, index, 'record'))
    if record and not seen[uid] then
      seen[uid] = true
      records[#records + 1] = uid
      records[#records + 1] = record
    end
    if state then
      local told = call('HGET', P .. 'held:' .. worker, task) or ''
      leases[#leases + 1] = { task, worker, found[i + 1], state, told:match('^[^\n]*') }
    end
  end
end

local workers = {}
for _, name in ipairs(call('ZRANGE', P .. 'workers', 0, -1)) do
  workers[#workers + 1] = { name, call('HGETALL', P .. 'worker:' .. name), call('EXISTS', P .. 'held:' .. name) }
end
return { clock(), call('HGETALL', P .. 'backlog'), leases, records, workers, call('HGETALL', P .. 'gpu_ms') }
