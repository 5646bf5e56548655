-- Leases: `leases` has UID/INDEX@WORKER by when they end; `held:WORKER` has what a worker holds, each with its tenant where
-- that has a limit (else -), and the steps done and in all.
local function pack_progress(s, done, all)
  return ('%s %d %d'):format(s.limit > 0 and s.tenant or '-', done, all)
end

-- A task of a tenant with a limit no longer runs.
local function free_slot(tenant)
  if call('HINCRBY', P .. 'running', tenant, -1) <= 0 then
    call('HDEL', P .. 'running', tenant)
  end
  unpark(tenant)
end

local function end_lease(task, worker)
  local held = P .. 'held:' .. worker
  local tenant = (call('HGET', held, task) or ''):match('^(%x+) ')
  call('HDEL', held, task)
  call('ZREM', P .. 'leases', lease_of(task, worker))
  if tenant then free_slot(tenant) end
end
