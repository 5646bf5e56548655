-- How far a job is. Indexes from `next` on were never claimed, but for `adopted` ones; `returned` wait again. `closed` is
-- set while none of them may be claimed: it is `suspended`, `stopped` (an error) or `unwanted` (cancelled; what waited is
-- counted as `cancelled` then).
local COUNTS = {
  'record', 'next', 'returned', 'adopted', 'succeeded', 'failed', 'cancelled', 'closed', 'stopped', 'unwanted', 'recheck',
  'counted',
}

-- From the values of these fields; nil when there is no record that we can read.
local function counts_of(values)
  local s = spec_of(values[1], values[12])
  if not s then return nil end
  local c = {
    s = s, record = values[1], next = count(values[2]), returned = count(values[3]), adopted = count(values[4]),
    succeeded = count(values[5]), failed = count(values[6]), cancelled = count(values[7]), closed = values[8],
    stopped = values[9], unwanted = values[10], recheck = values[11],
  }
  c.waiting = s.total - c.next - c.adopted + c.returned
  return c
end

-- Returns also the states of these tasks, if any.
local function read_counts(uid, indexes)
  local fields = { unpack(COUNTS) }
  for _, index in ipairs(indexes or {}) do fields[#fields + 1] = index end
  local values = call('HMGET', P .. 'job:' .. uid, unpack(fields))
  return counts_of(values), { unpack(values, #COUNTS + 1) }
end

local function is_over(c)
  local ended = c.succeeded + c.failed + c.cancelled
  return ended == c.s.total or (c.stopped and ended + c.waiting == c.s.total)
end
