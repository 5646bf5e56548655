-- A page of the jobs, each looked after on the way: Redis may have evicted some of its keys, if its policy lets it.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, cursor.
-- Returns the next cursor (0 after the last), uids, uids whose record or payload is lost (they are forgotten), and
-- how many were put back where claims find them.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
local now = clock()
local found = call('SSCAN', P .. 'jobs', ARGV[2], 'COUNT', 100)
local known, lost, mended = {}, {}, 0

local function is_lost(uid)
  local job = P .. 'job:' .. uid
  local record, payload = unpack(call('HMGET', job, 'record', 'payload'))
  return not record or not (payload or call('EXISTS', P .. 'payload:' .. uid) == 1)
end

-- Whether a claim that comes to the job's flow finds it.
local function stands(uid, c)
  local s = c.s
  local line = line_key(s.flow, s.model)
  if c.next < s.total and not call('ZSCORE', line, uid) then return false end
  for _, index in ipairs(call('ZRANGE', P .. 'back:' .. uid, 0, BATCH - 1)) do
    local task = task_of(uid, index)
    local there = call('ZSCORE', P .. 'returned:' .. s.class, task) or call('ZSCORE', line, task)
      or call('ZSCORE', P .. 'later', task)
    if not there then return false end
  end
  if call('ZCARD', line) == 0 then return true end
  if not call('ZSCORE', P .. 'lines:' .. s.flow, s.model) then return false end
  if call('HEXISTS', P .. 'parked:' .. s.tenant, s.class) == 1 then return true end
  return call('ZSCORE', P .. 'turns:' .. s.class, s.tenant) and call('ZSCORE', P .. 'limits:' .. s.class, s.tenant)
end

local function look_after(uid)
  if is_lost(uid) then
    lost[#lost + 1] = uid
    for _, name in ipairs({ 'job:', 'payload:', 'back:', 'dead:' }) do call('UNLINK', P .. name .. uid) end
    return
  end
  known[#known + 1] = uid
  local c = read_counts(uid)
  if not c or c.closed or c.waiting == 0 or stands(uid, c) then return end
  mended = mended + 1
  add_backlog(c.s.bucket, -c.waiting)
  open(uid, c, 0, now)
end

for _, uid in ipairs(found[2]) do look_after(uid) end
if #lost > 0 then call('SREM', P .. 'jobs', unpack(lost)) end
send_events()
return { found[1], known, lost, mended }
