local worker, lease, want, loaded, loaded_id = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
-- How far down the lane another may stand that a job is passed by for, until it presses, as its model is loaded.
local LOOKAHEAD = 64
-- The part of its class's promise that a job waits for a worker that has its model, before another loads it.
local FRESH = 1 / 12
-- A worker is there while it was heard of within this time, ms.
local LATELY = 15000
-- The digest of no model: nothing has to be loaded.
local NO_MODEL = 'e3b0c44298fc1c14'

local w = read_worker(worker)
if w.order ~= 'W' then return {} end
local now = clock()
local expires = integer(now + lease)

-- What is granted, and what is written once for all of it.
local chunks, ends, entries, taken_from = {}, {}, {}, {}

local function grant(uid, first, tasks, attempt, s, job)
  local tenant = s.limit > 0 and s.line:sub(-16) or ''
  local entry = pack_lease(attempt, worker, now, 0, 0, tenant)
  local n = #ends
  for index = first, first + tasks - 1 do
    local task = uid .. '/' .. index
    ends[n + 1], ends[n + 2] = expires, task
    entries[n + 1], entries[n + 2] = task, entry
    n = n + 2
  end
  taken_from[s.bucket] = (taken_from[s.bucket] or 0) - tasks
  if s.limit > 0 then call('HINCRBY', P .. 'running', tenant, tasks) end
  local recheck = (attempt > 1 or (job.flags and job.flags:find('r'))) and 1 or 0
  chunks[#chunks + 1] = { uid, first, tasks, attempt, recheck, now + lease, job.record, job.payload }
  want = want - tasks
end

local function read_job(uid, index)
  local record, payload, next, flags, started, state =
    unpack(call('HMGET', P .. 'job:' .. uid, 's', 'p', 'n', 'f', 't', index))
  return spec_of(record), {
    record = record, payload = payload, next = count(next), flags = flags, started = started,
    attempts = index ~= '' and tonumber((state or ''):match('^A (%d+)')),
  }
end

-- How many tasks of the tenant may start now.
local function room_of(s)
  if s.limit == 0 then return want end
  return s.limit - count(call('HGET', P .. 'running', s.line:sub(-16)))
end

local function park(class, line, member, score)
  local tenant = line:sub(-16)
  call('ZADD', P .. 'park:' .. class .. ':' .. tenant, score, member)
  call('SADD', P .. 'parked:' .. tenant, class)
end

local function take_back(uid, index)
  call('ZREM', P .. 'back:' .. uid, index)
  call('HINCRBY', P .. 'job:' .. uid, 'b', -1)
end

-- Someone else has written over the job's record.
local function bury_malformed(uid)
  local err = cjson.encode({ reason = 'MalformedJob', message = 'its record in Redis can not be read' })
  call('HSET', P .. 'job:' .. uid, '0', ('X 0 %.0f\n%s'):format(now, err))
  call('ZADD', P .. 'dead', now, uid .. '/0')
  call('ZADD', P .. 'dead:' .. uid, 0, '0')
  event(uid, 'F')
end

-- A task that was interrupted. Its tenant has paid for it already. Returns when its tenant was served.
local function take_front(class, member, score)
  local uid, index = member:match('^!(.*)/(%d+)$')
  local s, job = read_job(uid, index)
  if not s or not job.attempts then return end
  if room_of(s) <= 0 then
    park(class, s.line, member, score)
    return
  end
  take_back(uid, index)
  call('HSET', P .. 'fair', 'due:' .. class .. s.line:sub(-17), integer(now + s.sla))
  grant(uid, index, 1, job.attempts + 1, s, job)
end

-- What became of a line's entry.
local GONE, LEFT, FULL = 1, 2, 3

-- Takes from one entry of a line what the tenant's limit and its turn (virtual time up to `turn`, and `ahead` tasks
-- more) allow.
local function take_entry(line, entry, tag, turn, ahead, fair)
  local slash = entry:find('/', 1, true)
  local uid, index = entry, ''
  if slash then uid, index = entry:sub(1, slash - 1), entry:sub(slash + 1) end
  local s, job = read_job(uid, index)
  if not s or (index ~= '' and not job.attempts) then
    if job.record and not s then bury_malformed(uid) end
    return GONE
  end
  local room = room_of(s)
  if room <= 0 then return FULL end
  -- Overdue (below 0) is out of turn, which says nothing of how far the others are.
  if tag < 0 then
    tag = math.max(fair.vt, s.arrival + fair.lead)
  else
    fair.lead = math.max(fair.lead, tag - now)
  end
  fair.due = now + s.sla
  if index ~= '' then
    fair.vt = math.floor(tag + s.charge)
    take_back(uid, index)
    grant(uid, index, 1, job.attempts + 1, s, job)
    return GONE
  end
  local left = s.total - job.next
  local tasks = math.min(want, room, left, math.floor(math.max(turn - tag, 0) / s.charge) + 1 + ahead)
  fair.vt = math.floor(tag + tasks * s.charge)
  if job.started then
    call('HSET', P .. 'job:' .. uid, 'n', integer(job.next + tasks))
  else
    call('HSET', P .. 'job:' .. uid, 'n', integer(job.next + tasks), 't', integer(now))
    event(uid, 'S')
  end
  grant(uid, job.next, tasks, 1, s, job)
  return tasks < left and LEFT or GONE
end

-- Takes from a line while it is its tenant's turn. Returns the line's next place, or nil when it leaves the
-- lane. `fair` has the lane's clock and the tenant's virtual time, and what becomes of them.
local function take_line(class, line, score, turn, ahead, fair)
  local asked = want
  local found = call('ZRANGE', P .. 'line:' .. line, 0, integer(asked))
  local gone, fate, place = {}, GONE, score
  for _, entry in ipairs(found) do
    local more = math.max(ahead - (asked - want), 0)
    if want == 0 or (place > turn and more == 0 and want < asked) or fate ~= GONE then break end
    fate = take_entry(line, entry, place, turn, more, fair)
    if fate == GONE then gone[#gone + 1] = entry end
    if fair.due then place = fair.vt end
  end
  if #gone > 0 then call('ZREM', P .. 'line:' .. line, unpack(gone)) end
  if fate == FULL then
    park(class, line, line, place)
    return nil
  end
  return (#gone < #found or #found > asked) and place
end

-- Serves a lane's first entries in their order; of several lanes' only the very first, since then another
-- lane's may be more urgent.
local function serve(class, heads, alone)
  local lane = P .. 'lane:' .. class
  local fields, flows = { 'lead:' .. class }, {}
  for i = 1, #heads, 2 do
    flows[i] = class .. heads[i]:sub(-17)
    fields[#fields + 1] = 'vt:' .. flows[i]
  end
  local values = call('HMGET', P .. 'fair', unpack(fields))
  local lead, vts = count(values[1]), {}
  for i = 1, #heads, 2 do
    vts[flows[i]] = count(values[(i + 3) / 2])
  end
  local gone, moved, written, floor = {}, {}, {}, math.huge
  -- Of many tasks for one worker only who gets how many matters, so each tenant takes some at once, ahead of its
  -- turn: half of an equal share, and again of what is left, until all stand level.
  local ahead = alone and math.floor(want / #heads) or 0
  -- After the last of these there are others, unless these are all.
  local last = #heads / 2 <= want and math.huge or tonumber(heads[#heads])
  for i = 1, #heads, 2 do
    local member, score, flow = heads[i], tonumber(heads[i + 1]), flows[i]
    local another = loaded_id ~= '' and i > 1 and member:sub(-33, -18) ~= loaded_id
    if want == 0 or floor < score or another or (i > 1 and not alone) then break end
    local place
    if member:sub(1, 1) == '!' then
      take_front(class, member, score)
    elseif score >= 0 and vts[flow] > score then
      -- The tenant was served in another line since: the score was too low.
      place = vts[flow]
    else
      -- Up to the next tenant's; of several lanes only one task.
      local turn = alone and math.min(floor, tonumber(heads[i + 3]) or last) or score
      local fair = { vt = vts[flow], lead = lead }
      -- Who catches up with those served before stands level with them.
      local more = score >= 0 and turn < floor and ahead or 0
      place = take_line(class, member, score, turn, more, fair)
      if fair.due then
        vts[flow], lead = fair.vt, fair.lead
        written[#written + 1] = 'vt:' .. flow
        written[#written + 1] = integer(fair.vt)
        written[#written + 1] = 'due:' .. flow
        written[#written + 1] = integer(fair.due)
      end
    end
    if place then
      floor = math.min(floor, place)
      moved[#moved + 1] = integer(place)
      moved[#moved + 1] = member
    else
      gone[#gone + 1] = member
    end
  end
  if #gone > 0 then call('ZREM', lane, unpack(gone)) end
  if #moved > 0 then call('ZADD', lane, unpack(moved)) end
  if #written > 0 then call('HSET', P .. 'fair', 'lead:' .. class, integer(lead), unpack(written)) end
end

-- When a line should be served, its class's promise, and when its first job arrived. It should be by that job's due
-- time, or, if its tenant was served since that job arrived, as if it had arrived then.
local function urgency(class, line)
  local entry, due = unpack(call('ZRANGE', P .. 'line:' .. line, 0, 0, 'WITHSCORES'))
  local s = entry and spec_of(call('HGET', P .. 'job:' .. entry:match('^[^/]*'), 's'))
  if not s then return 0, 0, 0 end
  local served = call('HGET', P .. 'fair', 'due:' .. class .. line:sub(-17))
  return math.max(tonumber(due), count(served)), s.sla, s.arrival
end

local function needs_load(line)
  local model = line:sub(-33, -18)
  return loaded_id ~= '' and model ~= loaded_id and model ~= NO_MODEL
end

-- Whether another worker that may claim has the model of a line loaded.
local function others_have(line)
  local uid = call('ZRANGE', P .. 'line:' .. line, 0, 0)[1]:match('^[^/]*')
  local model = model_of(call('HGET', P .. 'job:' .. uid, 's'))
  local workers = call('HGETALL', P .. 'workers')
  for i = 1, #workers, 2 do
    local order, seen, has = workers[i + 1]:match('^(%a) %d+ (%d+) %d+ %d+\n([^\n]*)\n')
    local may = order == 'W' and workers[i] ~= worker and now - tonumber(seen) < LATELY
    if may and has == model then return true end
  end
  return false
end

-- The first near a lane's head whose model is loaded.
local function find_loaded(class)
  local near = call('ZRANGE', P .. 'lane:' .. class, 0, LOOKAHEAD, 'WITHSCORES')
  for i = 1, #near, 2 do
    if near[i]:sub(-33, -18) == loaded_id then return { near[i], near[i + 1] } end
  end
end

-- The lane's heads; or, if the first can wait, a line whose model is loaded, from this lane or another: its class,
-- the line, and that others are passed by. Nothing if the first is fresh and another worker has its model.
local function prefer_loaded(lane)
  local first, score = lane.heads[1], tonumber(lane.heads[2])
  if score < 0 or not needs_load(first) then return lane.class, lane.heads, false end
  local due, sla, arrival = urgency(lane.class, first)
  if now < due - LAST_PART * sla then
    local near = find_loaded(lane.class)
    if near then return lane.class, near, true end
    for i = 6, #ARGV do
      near = find_loaded(ARGV[i])
      if near then return ARGV[i], near, true end
    end
  end
  if now < arrival + FRESH * sla and others_have(first) then return nil end
  return lane.class, lane.heads, false
end

-- The lane to serve: the one whose first entry goes before everything, else whose first is the most urgent.
local function choose()
  local lanes = {}
  for i = 6, #ARGV do
    local heads = call('ZRANGE', P .. 'lane:' .. ARGV[i], 0, integer(want), 'WITHSCORES')
    if heads[1] then lanes[#lanes + 1] = { class = ARGV[i], heads = heads } end
  end
  if #lanes < 2 then return lanes[1], true end
  local best, best_key
  for _, lane in ipairs(lanes) do
    local key = tonumber(lane.heads[2])
    if key >= 0 then key = urgency(lane.class, lane.heads[1]) end
    if not best or key < best_key then best, best_key = lane, key end
  end
  return best, false
end

-- A round that grants nothing puts something right that another operation has left behind, and was paid for
-- then; the bound keeps any single claim short.
for _ = 1, want + 64 do
  local lane, alone = choose()
  if not lane then break end
  local class, heads, passing = prefer_loaded(lane)
  if not class then break end
  serve(class, heads, alone and not passing)
  if want == 0 then break end
end

if #chunks > 0 then
  call('ZADD', P .. 'leases', unpack(ends))
  call('HSET', P .. 'active', unpack(entries))
  for bucket, tasks in pairs(taken_from) do add_backlog(bucket, integer(tasks)) end
end
local idle = w.idle
if #chunks > 0 then idle = 0 elseif idle == 0 then idle = now end
if idle ~= w.idle or w.loaded ~= loaded or now - w.seen >= 3000 then
  w.idle, w.loaded, w.seen = idle, loaded, now
  write_worker(worker, w)
end
send_events()
return chunks
