local worker, lease, want, loaded, loaded_id = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
-- A head that proves stale or blocked is put right and the next one looked at, so often in one claim. Each was
-- left there by another operation, so this is paid for; the bound keeps any single claim short.
local repairs = 64
-- The part of a head's promise that may pass before it no longer waits for a worker with its model.
local PATIENCE = 0.5

local w = read_worker(worker)
if w.order ~= 'W' then return {} end
local now = clock()
local chunks = {}

-- The first of a lane or shelf. A score is a lower bound: the tenant may have been served in another line
-- since it was written.
local function first_of(key, class)
  while repairs > 0 do
    local two = call('ZRANGE', key, 0, 1, 'WITHSCORES')
    local member, score = two[1], tonumber(two[2])
    if not member then return false end
    local line = score >= 0 and member
    local vt, lead = 0, 0
    if line then
      local fair = call('HMGET', P .. 'fair', 'vt:' .. class .. line:sub(-17), 'lead:' .. class)
      vt, lead = count(fair[1]), count(fair[2])
    end
    if vt <= score or not line then
      return { key = key, class = class, member = member, score = score, second = tonumber(two[4]), lead = lead }
    end
    call('ZADD', key, vt, member)
    repairs = repairs - 1
  end
  return false
end

-- When a line should be served, and its class's promise: its first job's due time, or, if its tenant was
-- served since that job arrived, as if it had arrived then.
local function urgency(head)
  local entry, due = unpack(call('ZRANGE', P .. 'line:' .. head.member, 0, 0, 'WITHSCORES'))
  if not entry then return 0, 0 end
  local s = spec_of(call('HGET', P .. 'job:' .. entry:match('^[^/]*'), 's'))
  if not s then return 0, 0 end
  local served = call('HGET', P .. 'fair', 'due:' .. head.class .. head.member:sub(-17))
  return math.max(tonumber(due), count(served)), s.sla
end

-- The loaded model's own head, while the lane's can wait.
local function prefer_loaded(head)
  if loaded_id == '' or head.score < 0 or head.member:sub(-33, -18) == loaded_id then return head end
  local key, sla = urgency(head)
  if now >= key - PATIENCE * sla then return head end
  return first_of(P .. 'shelf:' .. head.class .. ':' .. loaded_id, head.class) or head
end

-- Among the heads of all lanes: what goes before everything, else the most urgent.
local heads = {}
local function choose()
  local best, best_key, waiting = nil, nil, 0
  for i = 6, #ARGV do
    local class = ARGV[i]
    if heads[class] == nil then heads[class] = first_of(P .. 'lane:' .. class, class) end
    if heads[class] then waiting = waiting + 1 end
  end
  for i = 6, #ARGV do
    local head = heads[ARGV[i]]
    if head then
      local key = head.score
      if waiting > 1 and key >= 0 then key = urgency(head) end
      if not best or key < best_key then best, best_key = head, key end
    end
  end
  return best, waiting == 1
end

local function forget_entry(head, line, entry)
  call('ZREM', P .. 'line:' .. line, entry)
  if call('EXISTS', P .. 'line:' .. line) == 0 then leave_lane(line) end
end

-- Someone else has written over the job's record.
local function bury_malformed(uid)
  local task = uid .. '/0'
  local err = cjson.encode({ reason = 'MalformedJob', message = 'its record in Redis can not be read' })
  call('HSET', P .. 'job:' .. uid, '0', ('X 0 %.0f\n%s'):format(now, err))
  call('ZADD', P .. 'dead', now, task)
  call('ZADD', P .. 'dead:' .. uid, 0, '0')
  event(uid, 'F')
end

local function grant(uid, first, tasks, attempt, s, job)
  local expires = now + lease
  local entry = pack_lease(attempt, now, 0, 0, worker, job.record)
  if tasks == 1 then
    local task = uid .. '/' .. first
    call('ZADD', P .. 'leases', expires, task)
    call('HSET', P .. 'active', task, entry)
  else
    local ends, entries = {}, {}
    for index = first, first + tasks - 1 do
      local task = uid .. '/' .. index
      ends[#ends + 1] = expires
      ends[#ends + 1] = task
      entries[#entries + 1] = task
      entries[#entries + 1] = entry
    end
    call('ZADD', P .. 'leases', unpack(ends))
    call('HSET', P .. 'active', unpack(entries))
  end
  add_backlog(s.bucket, -tasks)
  if s.limit > 0 then call('HINCRBY', P .. 'running', s.line:sub(-16), tasks) end
  if not job.started then
    call('HSET', P .. 'job:' .. uid, 't', now)
    event(uid, 'S')
  end
  local recheck = (attempt > 1 or (job.flags and job.flags:find('r'))) and 1 or 0
  chunks[#chunks + 1] = { uid, first, tasks, attempt, recheck, expires, job.record, job.payload }
  want = want - tasks
end

local function read_job(uid, index)
  local record, payload, next, flags, started, state =
    unpack(call('HMGET', P .. 'job:' .. uid, 's', 'p', 'n', 'f', 't', index))
  return spec_of(record), {
    record = record, payload = payload, next = count(next), flags = flags, started = started,
    attempts = tonumber((state or ''):match('^A (%d+)')),
  }
end

-- How many tasks of the tenant may start now.
local function room_of(s)
  if s.limit == 0 then return want end
  return s.limit - count(call('HGET', P .. 'running', s.line:sub(-16)))
end

local function take_back(uid, index)
  call('ZREM', P .. 'back:' .. uid, index)
  call('HINCRBY', P .. 'job:' .. uid, 'b', -1)
end

-- A task that was interrupted. Its tenant has paid for it already.
local function take_front(head)
  local uid, index = head.member:match('^!(.*)/(%d+)$')
  local s, job = read_job(uid, index)
  if not s or not job.attempts then
    call('ZREM', head.key, head.member)
    return
  end
  if room_of(s) <= 0 then
    park(head.class, s.line, head.member, head.score)
    return
  end
  call('ZREM', head.key, head.member)
  take_back(uid, index)
  call('HSET', P .. 'fair', 'due:' .. head.class .. s.line:sub(-17), now + s.sla)
  grant(uid, index, 1, job.attempts + 1, s, job)
end

-- The tenant's virtual time moves on by what was taken; what goes on waiting stands there.
local function charge(head, s, tag, tasks, more)
  local flow = head.class .. s.line:sub(-17)
  local vt = tag + tasks * s.charge
  local lead = head.lead
  -- Overdue (below 0): served out of turn, which says nothing of how far the others are.
  if head.score >= 0 then lead = math.max(lead, tag - now) end
  call('HSET', P .. 'fair', 'vt:' .. flow, vt, 'due:' .. flow, now + s.sla, 'lead:' .. head.class, lead)
  if more then
    call('ZADD', P .. 'lane:' .. head.class, vt, s.line)
  else
    leave_lane(s.line)
  end
end

local function take_line(head, alone)
  local line = head.member
  local entry, more = unpack(call('ZRANGE', P .. 'line:' .. line, 0, 1))
  if not entry then
    leave_lane(line)
    return
  end
  local uid, index = entry:match('^([^/]*)/?(%d*)$')
  local s, job = read_job(uid, index)
  if not s or (index ~= '' and not job.attempts) then
    forget_entry(head, line, entry)
    if job.record and not s then bury_malformed(uid) end
    return
  end
  local room = room_of(s)
  if room <= 0 then
    park(head.class, line, line, head.score)
    return
  end
  local tag = head.score
  if tag < 0 then
    local vt, lead = unpack(call('HMGET', P .. 'fair', 'vt:' .. head.class .. line:sub(-17), 'lead:' .. head.class))
    head.lead = count(lead)
    tag = math.max(count(vt), s.arrival + head.lead)
  end
  local tasks, attempt = 1, 1
  if index == '' then
    tasks = math.min(want, s.total - job.next, room)
    if not alone or head.score < 0 then
      tasks = 1
    elseif head.second then
      -- As many as come before the next tenant's turn.
      tasks = math.min(tasks, math.floor(math.max(head.second - tag, 0) / s.charge) + 1)
    end
    index = job.next
    local rest = s.total - job.next - tasks
    if job.started then
      call('HSET', P .. 'job:' .. uid, 'n', index + tasks)
    else
      call('HSET', P .. 'job:' .. uid, 'n', index + tasks, 't', now)
    end
    if rest == 0 then call('ZREM', P .. 'line:' .. line, uid) end
    more = more or rest > 0
  else
    attempt = job.attempts + 1
    call('ZREM', P .. 'line:' .. line, entry)
    take_back(uid, index)
  end
  charge(head, s, tag, tasks, more)
  grant(uid, index, tasks, attempt, s, job)
end

while want > 0 and repairs > 0 do
  local head, alone = choose()
  if not head then break end
  repairs = repairs - 1
  local had = want
  heads[head.class] = nil
  head = prefer_loaded(head)
  if head.score < 0 and head.member:sub(1, 1) == '!' then
    take_front(head)
  else
    take_line(head, alone)
  end
  if want < had then repairs = 64 end
end

local idle = w.idle
if #chunks > 0 then idle = 0 elseif idle == 0 then idle = now end
if idle ~= w.idle or w.loaded ~= loaded or now - w.seen >= 3000 then
  w.idle, w.loaded, w.seen = idle, loaded, now
  write_worker(worker, w)
end
return chunks
