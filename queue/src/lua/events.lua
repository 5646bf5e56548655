-- Wakes the operator for a job: `started`, `advanced`, `returned` (a task waits again), `dead` (a dead letter), `finished`
-- (nothing waits or runs any more). Bounded, and never the only copy: who misses an event finds the same in the job.
local events = {}
local function send_events()
  if #events == 0 then return end
  call('XADD', P .. 'results', 'MAXLEN', '~', '100000', '*', unpack(events))
  events = {}
end
local function event(uid, kind)
  local n = #events
  -- One after another of the same kind say no more than one.
  if n > 0 and events[n - 1] == uid and events[n] == kind then return end
  events[n + 1], events[n + 2] = uid, kind
  -- A script can't pass more to one command.
  if n > 2000 then send_events() end
end
