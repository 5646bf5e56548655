local worker = ARGV[1]
local now = clock()
local tasks = {}
for i = 2, #ARGV, 4 do
  tasks[#tasks + 1] = ARGV[i] .. '/' .. ARGV[i + 1]
end
local entries = call('HMGET', P .. 'active', unpack(tasks))

-- Jobs are read and written once, however many of their tasks are done.
local jobs, uids = {}, {}
local function job_of(uid)
  local job = jobs[uid]
  if not job then
    local total, ok, dead, stopped = unpack(call('HMGET', P .. 'job:' .. uid, 'm', 'k', 'd', 'x'))
    job = { total = tonumber(total or nil), ok = count(ok), over = count(dead) + count(stopped), fields = {} }
    jobs[uid] = job
    uids[#uids + 1] = uid
  end
  return job
end

local ended, free, answers = {}, {}, {}
for n, task in ipairs(tasks) do
  local uid, index, attempt, result = unpack(ARGV, 4 * n - 2, 4 * n + 1)
  local entry = entries[n]
  local mine = struct.pack('<I4I2c0', tonumber(attempt), #worker, worker)
  local accepted = entry and entry:sub(1, #mine) == mine
  if accepted then
    local fields = job_of(uid).fields
    ended[#ended + 1] = task
    fields[#fields + 1] = index
    fields[#fields + 1] = ('D %s %d %s\n'):format(attempt, now, worker) .. result
    accepted = jobs[uid].total
    -- It ends with the tenant's digest, or with the length 0 of none.
    if entry:sub(-2) ~= '\0\0' then free[#free + 1] = entry:sub(-16) end
  else
    -- The same write again, its first answer lost: accepted as before.
    local done = call('HGET', P .. 'job:' .. uid, index)
    local by, who = (done or ''):match('^D (%d+) %d+ (.-)\n')
    accepted = by == attempt and who == worker
  end
  answers[n] = accepted and 1 or 0
end
if #ended > 0 then
  call('HDEL', P .. 'active', unpack(ended))
  call('ZREM', P .. 'leases', unpack(ended))
end
for _, tenant in ipairs(free) do free_slot(tenant) end
for _, uid in ipairs(uids) do
  local job = jobs[uid]
  if job.total then
    local done = #job.fields / 2
    call('HSET', P .. 'job:' .. uid, 'k', integer(job.ok + done), unpack(job.fields))
    event(uid, job.ok + done + job.over == job.total and 'F' or 'A')
  end
end
send_events()
return answers
