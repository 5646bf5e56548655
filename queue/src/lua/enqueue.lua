-- Queues jobs.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term; then for each its uid, record, what it is counted as, payload, whether that has a key of its own,
-- whether it is to be rechecked, whether it is suspended.
-- Returns for each whether it is new.
local fenced = deposed(ARGV[1])
if fenced then return fenced end

-- What is written once for all of them: uids, entries by line, tasks by bucket, and lines.
local uids, entries_of, tasks_of, lines, answers = {}, {}, {}, {}, {}

local function add_entry(uid, s)
  local line = line_key(s.flow, s.model)
  local entries = entries_of[line]
  if not entries then
    entries = {}
    entries_of[line] = entries
    lines[#lines + 1] = s
  end
  entries[#entries + 1] = integer(s.start_by)
  entries[#entries + 1] = uid
  entries.first = math.min(entries.first or s.start_by, s.start_by)
  tasks_of[s.bucket] = (tasks_of[s.bucket] or 0) + s.total
end

for i = 2, #ARGV, 7 do
  local uid, record, counted, payload, large, recheck, suspended = unpack(ARGV, i, i + 6)
  local job = P .. 'job:' .. uid
  local new = call('EXISTS', job) == 0
  if not new then
    if recheck == '1' then
      call('HSET', job, 'recheck', 1)
      -- The list of jobs may be what Redis lost.
      uids[#uids + 1] = uid
    end
  else
    local s = spec_of(record, counted)
    if large == '1' then
      call('SET', P .. 'payload:' .. uid, payload)
      call('HSET', job, 'record', record, 'counted', counted)
    else
      call('HSET', job, 'record', record, 'counted', counted, 'payload', payload)
    end
    if recheck == '1' then call('HSET', job, 'recheck', 1) end
    if suspended == '1' then call('HSET', job, 'suspended', 1, 'closed', 1) else add_entry(uid, s) end
    uids[#uids + 1] = uid
  end
  answers[#answers + 1] = new and 1 or 0
end
if #uids > 0 then call('SADD', P .. 'jobs', unpack(uids)) end
for _, s in ipairs(lines) do
  local entries = entries_of[line_key(s.flow, s.model)]
  join_line(s, integer(entries.first), unpack(entries))
end
for bucket, tasks in pairs(tasks_of) do add_backlog(bucket, tasks) end
return answers
