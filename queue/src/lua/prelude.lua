-- Begins every script. KEYS[1] is not a key but what all keys of the pool begin with: it carries the pool's hash tag, so
-- that all of them live in one slot. Scripts make their keys from it and touch no others.
local P = KEYS[1]
local call = redis.call

-- Redis' own clock, ms since the Unix epoch; it stands still while a script runs.
local time
local function clock()
  if not time then
    local t = call('TIME')
    time = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return time
end

-- A number that may not be there.
local function count(value)
  return tonumber(value or 0)
end

-- Numbers as text: Redis would print a Lua number with 17 digits, which is slow.
local function integer(number)
  return ('%d'):format(number)
end
local function decimal(number)
  return ('%.3f'):format(number)
end
