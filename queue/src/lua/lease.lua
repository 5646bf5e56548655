-- An entry of `active`: attempt, worker, start, steps done and in all, and, where the tenant has a limit, its
-- digest.
local LEASE = '<I4I2c0dI4I4I2c0'

local function pack_lease(attempt, worker, started, done, all, tenant)
  return struct.pack(LEASE, attempt, #worker, worker, started, done, all, #tenant, tenant)
end

-- nil when there is no entry, or one that is not ours.
local function read_lease(entry)
  local ok, attempt, worker, started, done, all, tenant = pcall(struct.unpack, LEASE, entry)
  if not ok then return nil end
  return { attempt = attempt, worker = worker, started = started, done = done, all = all, tenant = tenant }
end
