-- Leases: `leases` has UID/INDEX@WORKER by when they end; `held:WORKER` has what a worker holds, each with its tenant where
-- that has a limit (else -), and how far it is, as its worker tells: steps done and in all; then, on lines of their own, nodes
-- done and in all, class and id of the one that runs (progress.rs).
local function pack_progress(s, told)
  return (s.limit > 0 and s.tenant or '-') .. ' ' .. told
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
