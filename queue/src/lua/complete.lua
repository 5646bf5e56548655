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
    job = { record = record, ok = count(ok), over = count(dead) + count(stopped), fields = {}, done = 0 }
    jobs[uid] = job
    uids[#uids + 1] = uid
  end
  return job
end

local ended, answers = {}, {}
for n, task in ipairs(tasks) do
  local uid, index, attempt, result = unpack(ARGV, 4 * n - 2, 4 * n + 1)
  local held = read_lease(entries[n])
  local accepted = held and held.worker == worker and held.attempt == tonumber(attempt)
  if accepted then
    local job = job_of(uid)
    ended[#ended + 1] = task
    if job.record then
      job.done = job.done + 1
      job.fields[#job.fields + 1] = index
      job.fields[#job.fields + 1] = ('D %s %.0f %s\n'):format(attempt, now, worker) .. result
    else
      accepted = false
      local s = spec_of(held.record)
      if s then free_slot(s.limit, s.line) end
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
  if job.done > 0 then
    local _, _, _, _, _, total, _, limit, line = struct.unpack(SPEC, job.record)
    local ok = job.ok + job.done
    call('HSET', P .. 'job:' .. uid, 'k', ok, unpack(job.fields))
    for _ = 1, limit > 0 and job.done or 0 do free_slot(limit, line) end
    event(uid, ok + job.over == total and 'F' or 'A')
  end
end
return answers
