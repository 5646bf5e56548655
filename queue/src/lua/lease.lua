-- An entry of `active`: attempt, start, steps done and in all, worker; then the job's record.
local LEASE = '<I4dI4I4I2c0'

local function pack_lease(attempt, started, done, all, worker, record)
  return struct.pack(LEASE, attempt, started, done, all, #worker, worker) .. record
end

-- nil when there is no entry, or one that is not ours.
local function read_lease(entry)
  local ok, attempt, started, done, all, worker, rest = pcall(struct.unpack, LEASE, entry)
  if not ok then return nil end
  return {
    attempt = attempt, started = started, done = done, all = all, worker = worker, record = entry:sub(rest),
  }
end

-- A task of the tenant no longer runs.
local function free_slot(limit, line)
  if limit == 0 then return end
  local tenant = line:sub(-16)
  if call('HINCRBY', P .. 'running', tenant, -1) <= 0 then
    call('HDEL', P .. 'running', tenant)
  end
  unpark(tenant)
end

-- Ends a lease; returns the job's record as it was claimed.
local function end_lease(task, lease)
  call('HDEL', P .. 'active', task)
  call('ZREM', P .. 'leases', task)
  local s = lease and spec_of(lease.record)
  if s then free_slot(s.limit, s.line) end
  return s
end
