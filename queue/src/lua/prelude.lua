-- All keys of the pool begin with KEYS[1], which carries its hash tag; no script touches any other.
local P = KEYS[1]
local call = redis.call

-- Redis' own clock, ms since the Unix epoch.
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Wakes the operator for a job: S started, A advanced, B a task came back, D a dead letter, F nothing waits or runs
-- any more.
-- Bounded, and never the only copy: who misses an event finds the same in the job.
local events = {}
local function send_events()
  if #events == 0 then return end
  call('XADD', P .. 'results', 'MAXLEN', '~', '100000', '*', unpack(events))
  events = {}
end
local function event(uid, kind)
  local n = #events
  events[n + 1], events[n + 2] = uid, kind
  -- A script can't pass more to one command.
  if n > 2000 then send_events() end
end

local function count(value)
  return tonumber(value or 0)
end

-- As text: Redis would print a Lua number as a float, which is slow.
local function integer(number)
  return ('%d'):format(number)
end
