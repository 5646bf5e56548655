-- An entry of `active`: attempt, worker, start, steps done and in all; then the job's record.
local LEASE = '<I4I2c0dI4I4'

local function pack_lease(attempt, started, done, all, worker, record)
  return struct.pack(LEASE, attempt, #worker, worker, started, done, all) .. record
end

-- nil when there is no entry, or one that is not ours.
local function read_lease(entry)
  local ok, attempt, worker, started, done, all, rest = pcall(struct.unpack, LEASE, entry)
  if not ok then return nil end
  return {
    attempt = attempt, started = started, done = done, all = all, worker = worker, record = entry:sub(rest),
  }
end
