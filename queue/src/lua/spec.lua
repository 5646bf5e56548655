-- A job's record, as spec.rs packs it: version, arrival, sla, weight, units, guessed ms per unit, total, retries, tenant's
-- limit, images that may fail, whether it is listed; class, tenant, model, what its listing is counted as, work key. Names
-- follow that scripts do not need. Beside it, in case someone writes over it, stands `counted`: the total and the bucket of
-- the backlog that its waiting tasks are counted in.
-- `start_by` is when a task must start to be in time, by the guess that came with the job, but in the first half of
-- its promise no task must.
local SPEC = '<BdddddI4I4I4I4BI2c0I2c0I2c0I2c0I2c0'

-- nil and why when there is no record that we can read: `missing`, `malformed`, or `newer` than this program.
local function spec_of(record, counted)
  if not record then return nil, 'missing' end
  local version = record:byte(1)
  if version and version > VERSION and version < 32 then return nil, 'newer' end
  local ok, read, arrival, sla, weight, units, unit_ms, total, retries, limit, may_fail, listing, class, tenant, model,
    listing_kind, work = pcall(struct.unpack, SPEC, record)
  if not ok or read ~= VERSION then return nil, 'malformed' end
  return {
    arrival = arrival, sla = sla, due = arrival + sla, start_by = arrival + sla - math.min(units * unit_ms, sla / 2),
    weight = weight, units = units, unit_ms = unit_ms, total = total,
    retries = retries, limit = limit, may_fail = may_fail, listing = listing == 1, class = class, tenant = tenant,
    model = model, listing_kind = listing_kind, work = work, flow = class .. ':' .. tenant,
    bucket = counted and counted:match('^%d+ (.*)$') or '0 ' .. listing_kind,
  }
end

-- Where waiting tasks of a kind are counted: by due time, rounded down so that there are few such places.
local function bucket_of(s, kind)
  local width = math.max(1000, math.floor(s.sla / 32))
  return integer(s.due - s.due % width) .. ' ' .. kind
end

-- The same job with another arrival: its record, and what it is counted as.
local function with_arrival(s, record, arrival)
  s.start_by = s.start_by - s.arrival + arrival
  s.arrival, s.due = arrival, arrival + s.sla
  s.bucket = bucket_of(s, s.bucket:match('^%d+ (.*)$'))
  return record:sub(1, 1) .. struct.pack('<d', arrival) .. record:sub(10), s.total .. ' ' .. s.bucket
end

local function add_backlog(bucket, tasks)
  if tasks ~= 0 and call('HINCRBY', P .. 'backlog', bucket, integer(tasks)) <= 0 then
    call('HDEL', P .. 'backlog', bucket)
  end
end
