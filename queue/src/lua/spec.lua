-- A job's record, as spec.rs packs it: arrival, sla, max wait, charge, units, total, retries, limit, line,
-- bucket; names follow that scripts do not need.
local SPEC = '<dddddI4I4I4I2c0I2c0'

-- A job presses when only this part of its class's promise is left.
local LAST_PART = 0.25

-- nil when there is no record, or one that is not ours.
local function spec_of(record)
  local ok, arrival, sla, max_wait, charge, _, total, retries, limit, line, bucket =
    pcall(struct.unpack, SPEC, record)
  if not ok then return nil end
  return {
    arrival = arrival, sla = sla, due = arrival + sla, max_wait = max_wait, charge = charge,
    total = total, retries = retries, limit = limit, line = line, bucket = bucket,
  }
end

-- A job's model, by its record; nil when there is none.
local function model_of(record)
  local unpacked = { pcall(struct.unpack, SPEC .. 'I2c0I2c0', record) }
  return unpacked[1] and unpacked[13] or nil
end

local function add_backlog(bucket, tasks)
  if call('HINCRBY', P .. 'backlog', bucket, tasks) <= 0 then
    call('HDEL', P .. 'backlog', bucket)
  end
end
