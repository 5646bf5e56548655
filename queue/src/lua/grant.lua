-- What a claim has granted, and what is written once for all of it.
local granted = { tasks = 0, chunks = {}, ends = {}, held = {}, bucket_tasks = {} }

-- Grants tasks of one job from `first` on. `states` are fields of the job to write with theirs.
local function grant(ask, job, first, tasks, charge, states)
  local s = job.s
  local state = pack_held(job.attempts + 1, ask.now, charge, ask.worker, job.history)
  local progress = pack_progress(s, '0 0')
  local ends, held = granted.ends, granted.held
  local n, m = #ends, #states
  for index = first, first + tasks - 1 do
    local at = integer(index)
    local task = task_of(job.uid, at)
    states[m + 1], states[m + 2] = at, state
    ends[n + 1], ends[n + 2] = ask.ends, lease_of(task, ask.worker)
    held[n + 1], held[n + 2] = task, progress
    n, m = n + 2, m + 2
  end
  call('HSET', P .. 'job:' .. job.uid, unpack(states))
  if s.limit > 0 then call('HINCRBY', P .. 'running', s.tenant, tasks) end
  local bucket = first == s.total and bucket_of(s, s.listing_kind) or s.bucket
  granted.bucket_tasks[bucket] = (granted.bucket_tasks[bucket] or 0) + tasks
  local recheck = (job.attempts > 0 or job.recheck) and 1 or 0
  granted.chunks[#granted.chunks + 1] = {
    job.uid, first, tasks, job.attempts + 1, recheck, ask.ends, integer(expected_ms(s, ask.learned[s.work])), job.record,
    job.payload,
  }
  granted.tasks = granted.tasks + tasks
end

local function write_granted(ask)
  if granted.tasks == 0 then return end
  call('ZADD', P .. 'leases', unpack(granted.ends))
  call('HSET', P .. 'held:' .. ask.worker, unpack(granted.held))
  for bucket, tasks in pairs(granted.bucket_tasks) do add_backlog(bucket, -tasks) end
end
