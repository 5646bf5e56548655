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
    local record, ok, dead, stopped = unpack(call('HMGET', P .. 'job:' .. uid, 's', 'k', 'd', 'x'))
    job = { record = record, ok = count(ok), over = count(dead) + count(stopped), fields = {} }
    jobs[uid] = job
    uids[#uids + 1] = uid
  end
  return job
end

local ended, answers = {}, {}
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
    if not jobs[uid].record then
      accepted = false
      end_lease(task, read_lease(entry))
    end
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
for _, uid in ipairs(uids) do
  local job = jobs[uid]
  if job.record then
    local done = #job.fields / 2
    local total = struct.unpack(TOTAL, job.record, TOTAL_AT)
    call('HSET', P .. 'job:' .. uid, 'k', job.ok + done, unpack(job.fields))
    local limit = struct.unpack(TOTAL, job.record, TOTAL_AT + 8)
    if limit > 0 then
      for _ = 1, done do free_slot(limit, spec_of(job.record).line) end
    end
    event(uid, job.ok + done + job.over == total and 'F' or 'A')
  end
end
send_events()
return answers
